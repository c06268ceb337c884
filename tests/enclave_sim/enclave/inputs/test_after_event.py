"""Inputs that wait for an event of the run take effect at that event plus their delay."""

from typing import Any

import pytest
from msgspec import structs

from enclave_sim import Enclave
from enclave_sim.events import KINDS, HostCalled, InputTaken, PhaseCompleted
from enclave_sim.inputs import (
    AfterEvent,
    AnyInput,
    ExternalInterrupt,
    GuestReplaced,
    MemoryFault,
    SensorValue,
    Tamper,
    UplinkReady,
)
from enclave_sim.memory_map import region
from enclave_sim.recording.reader import read_header
from machine.events import InterruptDelivered, InterruptRaised
from payloads import read
from tests.enclave_sim.enclave.inputs.happenings import calm, events_of

ARENA = region("arena").base


@pytest.mark.parametrize(
    "one",
    [
        ExternalInterrupt(at_ns=700),
        Tamper(at_ns=700),
        SensorValue(at_ns=700, sensor=1, value=7),
        UplinkReady(at_ns=700, ready=False),
        MemoryFault(at_ns=700, address=ARENA, bits=3),
        GuestReplaced(at_ns=0, payload=0, code=read("beacon")),
    ],
    ids=lambda one: type(one).__name__,
)
def test_every_kind_of_input_can_wait_for_an_event(one: AnyInput) -> None:
    event = next(e for e in calm() if isinstance(e, PhaseCompleted) and e.phase == "EXEC_LOOP")
    waiting = structs.replace(one, after=AfterEvent("phase_completed", {"phase": "EXEC_LOOP"}))
    timed = structs.replace(one, at_ns=event.at_ns + one.at_ns)
    happened = events_of(cycles=3, inputs=[waiting])
    assert happened == events_of(cycles=3, inputs=[timed])
    (taken,) = [e for e in happened if isinstance(e, InputTaken)]
    assert (taken.at_ns, taken.scheduled_ns) == (timed.at_ns, timed.at_ns)


@pytest.mark.slow
@pytest.mark.parametrize(("payload", "options"), [("spinner", {}), ("runner", {"engine": "native"})])
def test_also_while_a_guest_computes(payload: str, options: dict[str, Any]) -> None:
    (first, *_) = [e for e in events_of(payload, **options) if isinstance(e, PhaseCompleted) and e.phase == "EXEC_LOOP"]
    for delay_ns in (1, 777, 123_456):
        after = AfterEvent("phase_completed", {"phase": "EXEC_LOOP"})
        by_event = events_of(payload, inputs=[Tamper(at_ns=delay_ns, after=after)], **options)
        assert by_event == events_of(payload, inputs=[Tamper(at_ns=first.at_ns + delay_ns)], **options)


def test_without_delay_it_takes_effect_after_what_the_processor_was_doing() -> None:
    software = AfterEvent("interrupt_raised", {"source": "software"}, count=2)
    happened = events_of(inputs=[Tamper(at_ns=0, after=software)])
    raised = [i for i, e in enumerate(happened) if isinstance(e, InterruptRaised) and e.source == "software"][1]
    taken = next(i for i, e in enumerate(happened) if isinstance(e, InputTaken))
    assert isinstance(happened[raised + 1], InterruptDelivered)
    assert taken > raised + 1
    assert happened[taken].at_ns == happened[raised].at_ns


def test_an_input_waits_for_the_first_events_of_the_machine_too() -> None:
    reset = AfterEvent("mode_switched", {"previous": "reset"})
    (taken,) = [e for e in events_of(inputs=[UplinkReady(at_ns=0, ready=False, after=reset)]) if type(e) is InputTaken]
    assert taken.at_ns == 0


def test_inputs_of_one_moment_come_by_time_first_and_then_those_that_waited_as_given() -> None:
    event = next(e for e in calm() if isinstance(e, PhaseCompleted) and e.phase == "MEM_MAP")
    after = AfterEvent("phase_completed", {"phase": "MEM_MAP"})
    values = [SensorValue(at_ns=50, sensor=0, value=value, after=after) for value in (3, 1, 2)]
    timed = SensorValue(at_ns=event.at_ns + 50, sensor=0, value=9)
    enclave = Enclave("counter", inputs=[*values, timed])
    assert enclave.header.inputs == (timed, *values)
    assert Enclave("counter", inputs=enclave.header.inputs).header == enclave.header
    enclave.run()
    assert enclave.block.sensors[0] == 2


def test_an_input_can_wait_for_another() -> None:
    first = UplinkReady(at_ns=0, ready=False, after=AfterEvent("host_called"))
    second = UplinkReady(at_ns=0, ready=True, after=AfterEvent("input_taken", {"input": "uplink_ready"}))
    happened = events_of(inputs=[second, first])
    called, *taken = [e for e in happened if isinstance(e, HostCalled | InputTaken)][:3]
    assert [one.scheduled_ns for one in taken if isinstance(one, InputTaken)] == [called.at_ns, taken[0].at_ns]
    assert taken[1].at_ns == taken[0].at_ns == called.at_ns + 1  # there the instruction of the call has retired


def test_what_never_happens_changes_nothing() -> None:
    never = Tamper(at_ns=0, after=AfterEvent("cycle_began", {"cycle": 3}))
    assert events_of(cycles=3, inputs=[never]) == calm()


def test_equal_ones_are_recorded_equally(tmp_path: Any) -> None:
    fields: list[dict[str, int | str | bool]] = [{"vector": 34, "ring": 3}, {"ring": 3, "vector": 34}]
    runs = [Enclave(inputs=[Tamper(at_ns=5, after=AfterEvent("interrupt_raised", f))]) for f in fields]
    assert runs[0].run().digest == runs[1].run().digest
    assert runs[0].recording is not None
    runs[0].recording.save(tmp_path / "recording")
    header = read_header(tmp_path / "recording")
    assert header == runs[0].header
    assert Enclave(inputs=header.inputs).run() == runs[0].run()


def test_no_event_has_a_field_that_scripts_could_mistake() -> None:
    assert not {"event", "count"} & {name for kind in KINDS.values() for name in kind.__struct_fields__}
