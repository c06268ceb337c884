"""Inputs take effect when they are due, are part of the recording, and are refused when they cannot be."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim import ConfigurationError, Enclave, Template
from enclave_sim.enclave.inputs.validation import matches
from enclave_sim.events import InputTaken, SignalEmitted, Woken, name_of_kind
from enclave_sim.inputs import (
    AfterEvent,
    AnyInput,
    ExternalInterrupt,
    GuestReplaced,
    MemoryFault,
    MemoryWrite,
    RegisterWrite,
    SensorValue,
    Tamper,
    UplinkReady,
)
from enclave_sim.memory_map import region
from enclave_sim.payload.errors import PayloadRejected
from enclave_sim.recording.reader import read_events, read_header
from enclave_sim.specification import Phase
from enclave_sim.time_travel.replay import replay
from machine.events import Event, ModeSwitched
from payloads import read, read_flat
from tests.enclave_sim.enclave.inputs.happenings import calm, events_of
from tests.sampling import sampled


@cache
def booted() -> Template:
    return Template("counter", cycles=3)


@cache
def end_ns() -> int:
    return Enclave("counter", cycles=3).run().virtual_ns


def test_an_external_interrupt_wakes_at_its_time() -> None:
    plain = Enclave("counter", cycles=3)
    plain.run()
    assert plain.recording is not None
    first = plain.recording.of_kind(Woken)[0]
    at_ns = first.at_ns - 100_000
    enclave = Enclave("counter", cycles=3, inputs=[ExternalInterrupt(at_ns=at_ns)])
    enclave.run()
    assert enclave.recording is not None
    woken = enclave.recording.of_kind(Woken)[0]
    assert woken.source == "external"
    assert at_ns <= woken.at_ns < at_ns + 1000
    (taken,) = enclave.recording.of_kind(InputTaken)
    assert (taken.input, taken.scheduled_ns, taken.at_ns) == ("external_interrupt", at_ns, at_ns)


def test_an_input_at_0_ns_is_taken_before_the_first_instruction(tmp_path: Any) -> None:
    first = SensorValue(at_ns=0, sensor=1, value=7)
    enclave = Enclave("counter", inputs=[Tamper(at_ns=900_000), first])
    assert enclave.header.inputs == (first, Tamper(at_ns=900_000))
    assert enclave.step()
    assert enclave.recording is not None
    reset, taken, *_ = enclave.recording.events
    assert type(reset) is ModeSwitched
    assert taken == InputTaken(1, 0, "sensor_value", 0, None), "scheduled for 0 ns, which is no input made by hand"
    enclave.run()
    path = tmp_path / "recording"
    enclave.recording.save(path)
    assert replay(path).equal

    by_hand = Enclave("counter")
    by_hand.take(first)
    by_hand.run()
    assert by_hand.recording is not None
    assert by_hand.recording.events[1] == InputTaken(1, 0, "sensor_value", None, first)
    by_hand.recording.save(path)
    assert replay(path).equal


def test_an_input_at_0_ns_of_a_run_that_is_limited_to_0_ns_is_still_to_come() -> None:
    enclave = Enclave("counter", inputs=[Tamper(at_ns=0)])
    assert enclave.run(0).outcome == "LIMIT"
    assert enclave.recording is not None
    assert enclave.recording.of_kind(InputTaken) == []
    assert enclave.run().outcome == "TAMPER"
    assert enclave.recording.of_kind(InputTaken)[0].at_ns == 0


def test_inputs_come_by_time_and_those_of_one_time_as_given() -> None:
    inputs: list[AnyInput] = [Tamper(at_ns=500_000), SensorValue(at_ns=400_000, sensor=1, value=7)]
    inputs += [SensorValue(at_ns=400_000, sensor=1, value=9), UplinkReady(at_ns=100, ready=False)]
    enclave = Enclave("counter", inputs=inputs)
    assert [one.at_ns for one in enclave.header.inputs] == [100, 400_000, 400_000, 500_000]
    enclave.run()
    assert enclave.block.sensors == [0, 9]


def test_a_guest_is_told_that_the_uplink_is_not_ready() -> None:
    statuses = [Enclave("beacon", inputs=[UplinkReady(at_ns=1, ready=ready)]).run().signals for ready in (True, False)]
    assert statuses[0] != statuses[1]


def test_a_memory_fault_inverts_bits() -> None:
    address = region("arena").base + 4096
    fault = MemoryFault(at_ns=booted().at_ns, address=address, bits=0x81)
    enclave = Enclave("counter", cycles=3, inputs=[fault])
    enclave.run(booted().at_ns + 50)
    assert enclave.machine.ram.read(address, 1) == b"\x81"
    assert enclave.run().clean


def test_writes_take_effect_at_their_time() -> None:
    at_ns, address = booted().at_ns, region("arena").base + 4096
    writes: list[AnyInput] = [
        MemoryWrite(at_ns=at_ns, address=address, data="0102"),
        MemoryWrite(at_ns=at_ns, address=address + 1, data="03"),
        RegisterWrite(at_ns=at_ns, register="rip", value=0),  # where nothing is mapped
    ]
    enclave = Enclave("counter", cycles=3, inputs=writes)
    enclave.run(at_ns + 1)
    assert enclave.machine.ram.read(address, 2) == b"\x01\x03"
    result = enclave.run()
    assert (result.outcome, result.residue_bytes) == ("KERNEL_FAULT", 0)


@pytest.mark.parametrize("portable", sampled([False, True], False), ids=["native", "portable"])
def test_a_memory_fault_in_code_that_has_run_is_executed(portable: bool) -> None:
    emits_1_again_and_again = bytes.fromhex("bf01000000b801000000cd80ebf2")  # EDI, EAX, INT 80H, JMP
    address = region("staging").base + 1
    third = AfterEvent("signal_emitted", count=3)
    fault = MemoryFault(at_ns=1, address=address, bits=6, after=third)
    begin_ns = Template(emits_1_again_and_again, engine="native").at_ns
    enclave = Enclave(emits_1_again_and_again, engine="native", inputs=[fault], portable=portable)
    enclave.run(begin_ns + 10_000)
    assert enclave.recording is not None
    signals = [event.value for event in enclave.recording.of_kind(SignalEmitted)]
    assert signals[:4] == [1, 1, 1, 7]
    assert len(signals) > 10
    assert set(signals[4:]) == {7}


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (ExternalInterrupt(at_ns=-1), "out of range"),
        (SensorValue(at_ns=0, sensor=2, value=0), "there is no sensor 2"),
        (SensorValue(at_ns=0, sensor=0, value=1 << 32), "32 bits"),
        (MemoryFault(at_ns=0, address=1 << 40, bits=1), "no RAM at 0x10000000000"),
        (MemoryFault(at_ns=0, address=0, bits=0), "1 to 255"),
        (GuestReplaced(at_ns=0, payload=-1, code=b"x"), "no payload -1"),
        (Tamper(at_ns=1.5), "whole number"),  # type: ignore[arg-type]
        (Tamper(at_ns=0, after=AfterEvent("phase")), "'phase' is not a kind of event; there are mode_switched, reg"),
        (Tamper(at_ns=0, after=AfterEvent("phase_completed", {"name": 1})), "no field 'name'; it has seq, at_ns, phas"),
        (Tamper(at_ns=0, after=AfterEvent("phase_completed", {"phase": "MEMMAP"})), "one of PROT_ENTRY, MEM_MAP, WASM"),
        (
            Tamper(at_ns=0, after=AfterEvent("phase_completed", {"phase": 2})),
            "phase is 2; in phase_completed it is te",
        ),
        (Tamper(at_ns=0, after=AfterEvent("cycle_began", {"cycle": True})), "it is a whole number"),
        (Tamper(at_ns=0, after=AfterEvent("cycle_began", {"cycle": 1 << 64})), "more than 64 bits"),
        (Tamper(at_ns=0, after=AfterEvent("halted", {"interruptible": 1})), "it is true or false"),
        (Tamper(at_ns=0, after=AfterEvent("interrupt_raised", {"error_code": "x"})), "it is a whole number"),
        (Tamper(at_ns=0, after=AfterEvent("interrupt_raised", {"source": "irq"})), "one of software, exception, ext"),
        (Tamper(at_ns=0, after=AfterEvent("halted", count=0)), "count is 0; it must be a whole number from 1"),
        (Tamper(at_ns=-1, after=AfterEvent("halted")), "at -1 ns after halted: time -1 is out of range"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(one: AnyInput, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as error:
        Enclave("beacon", inputs=[one])
    assert "\n" not in str(error.value)


def test_a_recording_holds_its_inputs(tmp_path: Any) -> None:
    inputs = (
        SensorValue(at_ns=5, sensor=0, value=1),
        GuestReplaced(at_ns=booted().at_ns, payload=0, code=read("beacon")),
    )
    enclave = Enclave("counter", inputs=inputs)
    enclave.run()
    assert enclave.recording is not None
    enclave.recording.save(tmp_path / "recording")
    assert read_header(tmp_path / "recording").inputs == inputs
    assert sum(isinstance(event, InputTaken) for event in read_events(tmp_path / "recording")) == 2


@st.composite
def moments(draw: st.DrawFn, *, least_ns: int = 0) -> AfterEvent:
    """An event of the calm run from `least_ns` on, by its kind, some of its fields and its place among those."""
    event = draw(st.sampled_from([event for event in calm() if event.at_ns >= least_ns]))
    own = [name for name in event.__struct_fields__[2:] if getattr(event, name) is not None]
    fields = {name: getattr(event, name) for name in draw(st.sets(st.sampled_from(own)) if own else st.just(set()))}
    kind = name_of_kind(event)
    first = AfterEvent(kind, fields)
    return AfterEvent(kind, fields, sum(matches(first, other) for other in calm()[: event.seq + 1]))


def event_of(moment: AfterEvent) -> Event:
    """The event of the calm run that `moment` describes."""
    return [event for event in calm() if matches(moment, event)][moment.count - 1]


times = st.deferred(lambda: st.integers(booted().at_ns, end_ns()))
delays = st.integers(0, 2000) | st.deferred(lambda: st.integers(0, end_ns()))
due: dict[str, st.SearchStrategy[Any]] = {"at_ns": times, "after": st.none()}
due_by_event: dict[str, st.SearchStrategy[Any]] = {
    "at_ns": delays,
    "after": st.deferred(lambda: moments(least_ns=booted().at_ns)),
}
some_inputs = st.lists(
    st.one_of(
        *(st.builds(ExternalInterrupt, **when) for when in (due, due_by_event)),
        *(st.builds(Tamper, **when) for when in (due, due_by_event)),
        *(st.builds(UplinkReady, ready=st.booleans(), **when) for when in (due, due_by_event)),
    ),
    max_size=4,
)


@settings(max_examples=40)
@given(some_inputs, st.sampled_from([None, "beacon", "shredder", "divider"]))
def test_a_run_from_a_template_is_that_of_a_fresh_enclave(inputs: list[AnyInput], guest: str | None) -> None:
    module = None if guest is None else read(guest)
    started = booted().start(module, inputs=inputs)
    replaced = [] if module is None else [GuestReplaced(at_ns=booted().at_ns, payload=0, code=module)]
    fresh = Enclave("counter", cycles=3, inputs=[*replaced, *inputs])
    assert started.run() == fresh.run()
    assert started.header == fresh.header
    assert started.recording is not None
    assert started.recording.digest == started.run().digest


def test_a_flat_guest_can_be_replaced() -> None:
    template = Template("quitter", engine="native")
    at_ns = template.at_ns
    for name in ("stray", "runner", "quitter", "vandal"):
        code = read_flat(name)
        started = template.start(code).run()
        fresh = Enclave("quitter", engine="native", inputs=[GuestReplaced(at_ns=at_ns, payload=0, code=code)]).run()
        assert started == fresh
        own = Enclave(name, engine="native").run()
        assert (started.outcome, started.signals, started.detail) == (own.outcome, own.signals, own.detail)


def test_what_a_template_refuses_leaves_it_at_its_start() -> None:
    with pytest.raises(PayloadRejected):
        booted().start(b"\0asm\1\0\0\0")
    with pytest.raises(ConfigurationError, match="comes before the start"):
        booted().start(inputs=[Tamper(at_ns=3)])
    with pytest.raises(ConfigurationError, match="ended by PAYLOAD_REJECTED"):
        Template("beacon", trust_anchors=[])
    assert booted().start().run() == Enclave("counter", cycles=3).run()


def test_a_guest_cannot_be_replaced_too_early_or_too_late() -> None:
    for at_ns in (1, end_ns() - 1):
        with pytest.raises(ConfigurationError, match="EXEC_LOOP"):
            Enclave("counter", cycles=3, inputs=[GuestReplaced(at_ns=at_ns, payload=0, code=read("beacon"))]).run()


# Inputs that wait for an event


@pytest.mark.slow
@settings(max_examples=80)
@given(
    moments(),
    st.integers(1, 3000) | st.deferred(lambda: st.integers(1, end_ns())),
    st.sampled_from([Tamper, ExternalInterrupt]),
)
def test_a_time_after_an_event_is_that_time_after_reset(moment: AfterEvent, delay_ns: int, kind: Any) -> None:
    at_ns = event_of(moment).at_ns + delay_ns
    by_event = events_of(cycles=3, inputs=[kind(at_ns=delay_ns, after=moment)])
    assert by_event == events_of(cycles=3, inputs=[kind(at_ns=at_ns)])


@pytest.mark.slow
@settings(max_examples=4)
@given(some_inputs)
def test_the_portable_hook_gives_the_same_run(inputs: list[AnyInput]) -> None:
    assert Enclave(inputs=inputs).run() == Enclave(inputs=inputs, portable=True).run()


@pytest.mark.slow
@settings(max_examples=40)
@given(some_inputs, st.lists(st.sampled_from(Phase), max_size=2), times)
def test_a_snapshot_keeps_what_inputs_wait_for(inputs: list[AnyInput], phases: list[Phase], limit_ns: int) -> None:
    enclave = Enclave("counter", cycles=3, inputs=inputs)
    expected = Enclave("counter", cycles=3, inputs=inputs).run()
    snapshots = []
    for phase in sorted(phases):
        enclave.run_to(phase)
        snapshots.append(enclave.snapshot())
    enclave.run(limit_ns)
    snapshots.append(enclave.snapshot())
    assert enclave.run() == expected
    for snapshot in reversed(snapshots):
        enclave.restore(snapshot)
        assert enclave.run() == expected


@pytest.mark.slow
def test_an_input_due_while_the_dormant_kernel_halts_is_taken_with_a_limit_as_without() -> None:
    plain = Enclave("counter")
    plain.run()
    assert plain.recording is not None
    dormant_ns = plain.recording.events[-3].at_ns
    for at_ns in range(dormant_ns, plain.machine.clock.now_ns + 2):
        limited = Enclave("counter", inputs=[ExternalInterrupt(at_ns=at_ns)])
        limited.run(at_ns)
        assert limited.run() == Enclave("counter", inputs=[ExternalInterrupt(at_ns=at_ns)]).run()


@pytest.mark.slow
@settings(max_examples=40)
@given(st.builds(ExternalInterrupt, at_ns=delays, after=moments()))
def test_a_template_refuses_what_was_due_before_its_start(one: AnyInput) -> None:
    fresh = Enclave("counter", cycles=3, inputs=[one])
    result = fresh.run()
    assert fresh.recording is not None
    taken = fresh.recording.of_kind(InputTaken)
    if taken and taken[0].at_ns < booted().at_ns:
        with pytest.raises(ConfigurationError, match="comes before the start"):
            booted().start(inputs=[one])
    else:
        assert booted().start(inputs=[one]).run() == result
