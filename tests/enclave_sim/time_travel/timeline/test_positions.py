"""A position is the same however the run reaches it: step by step, or at once."""

from typing import Any

import pytest

import firmware
from enclave_sim.inputs import AfterEvent, AnyInput, ExternalInterrupt, SensorValue, Tamper
from enclave_sim.time_travel import Position, Session

ASLEEP = AfterEvent("wake_scheduled")
WAKES = (
    SensorValue(at_ns=2_500, after=ASLEEP, sensor=0, value=3),
    SensorValue(at_ns=2_500, after=ASLEEP, sensor=1, value=4),
    ExternalInterrupt(at_ns=2_500, after=ASLEEP),
)
RUNS: dict[str, tuple[str, dict[str, Any], tuple[AnyInput, ...], str]] = {
    "inputs and the interrupt that they raise": ("counter", {"cycles": 2}, WAKES, "external_interrupt"),
    "a non-maskable interrupt": ("counter", {}, (Tamper(at_ns=250_000),), "tamper"),
    "an exception": ("divider", {}, (), "divide"),
}


def session(name: str) -> Session:
    payload, options, inputs, _ = RUNS[name]
    return Session(payload, inputs=inputs, **options)


def steps_around(name: str) -> list[tuple[Position, int, int]]:
    """The positions around steps that take no time, with RIP (0 in a sleep) and the number of events at each."""
    run = session(name)
    run.run_to(event="input_taken" if RUNS[name][2] else "interrupt_raised", when=lambda event: event.at_ns > 200_000)
    if not RUNS[name][2]:
        run.run_to(event="interrupt_raised", when=lambda event: event.source == "exception")
    run.back(3)
    found = []
    for _ in range(12):
        address = 0 if run.machine.halted else run.machine.cpu.linear_rip
        found.append((run.now, address, len(run.events)))
        run.step()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_breakpoint_is_met_at_the_position_to_which_steps_lead(name: str) -> None:
    steps = steps_around(name)
    assert max(position.step for position, _, _ in steps) > 0
    for (_, before, _), (position, address, events), (after, _, _) in zip(steps, steps[1:], steps[2:], strict=False):
        if address in (0, before) or after.at_ns == position.at_ns:
            continue  # it was passed earlier, or another instruction comes next
        run = session(name)
        run.go_to(steps[0][0])
        run.add_breakpoint(address)
        assert (run.resume().position, len(run.events)) == (position, events)
        run.run_to(at_ns=position.at_ns + 100)
        run.go_to(position)
        assert (run.machine.cpu.linear_rip, len(run.events)) == (address, events)


@pytest.mark.parametrize("name", RUNS)
def test_an_event_is_met_at_the_position_to_which_steps_lead(name: str) -> None:
    steps = steps_around(name)
    run = session(name)
    run.go_to(steps[0][0])
    run.run_to(event="interrupt_delivered")
    assert (run.now, run.machine.cpu.linear_rip, len(run.events)) in steps


def test_a_breakpoint_that_comes_before_any_time_passes_is_met() -> None:
    run = session("inputs and the interrupt that they raise")
    run.run_to(event="input_taken")
    asleep = run.now
    run.add_breakpoint(firmware.built_in().symbols["interrupt_stubs"] + 16 * firmware.layout()["VECTOR_EXTERNAL"])
    stop = run.resume()
    assert stop.why is not None
    assert stop.position.at_ns == asleep.at_ns
    assert stop.position > asleep
    run.back()
    assert run.now < stop.position
    assert run.resume() == stop
    assert run.reverse_resume().why is None
