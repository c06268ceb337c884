"""Schedules of inputs are as described, shrink to simple ones, and break no enclave."""

from functools import cache

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from enclave_sim import ConfigurationError
from enclave_sim.events import AnnihilationBegan, WakeScheduled
from enclave_sim.guarantees import ObservedTemplate, Run, isolated, jitter_free, observe, zero_trace
from enclave_sim.inputs import AnyInput, ExternalInterrupt, MemoryFault, SensorValue, Tamper, UplinkReady
from enclave_sim.memory_map import region_at
from enclave_sim.strategies import host_answers, interrupt_schedules, memory_faults


@cache
def counter() -> ObservedTemplate:
    return ObservedTemplate("counter", cycles=3)


@cache
def calm() -> Run:
    return counter().run()


@cache
def limits() -> tuple[int, int]:
    """The start of runs and the end of the undisturbed one, in ns."""
    return counter().at_ns, calm().result.virtual_ns


def interrupts() -> st.SearchStrategy[list[AnyInput]]:
    """Interrupts at any time of the undisturbed run, many of them near its deadlines."""
    deadlines = [event.deadline_ns for event in calm().events if isinstance(event, WakeScheduled)]
    return interrupt_schedules(*limits(), near=deadlines)


@given(interrupt_schedules(1000, 2000, near=[1500]), host_answers(5, 5), memory_faults(0, 10, where=["irq_stack"]))
def test_inputs_are_within_their_bounds(
    interrupts: list[AnyInput], answers: list[AnyInput], faults: list[AnyInput]
) -> None:
    assert all(1000 <= one.at_ns <= 2000 and isinstance(one, ExternalInterrupt | Tamper) for one in interrupts)
    assert all(one.at_ns == 5 and isinstance(one, SensorValue | UplinkReady) for one in answers)
    for one in faults:
        assert isinstance(one, MemoryFault)
        where = region_at(one.address)
        assert where is not None
        assert where.name == "irq_stack"
        assert one.bits.bit_count() == 1


def test_they_shrink_to_few_and_early_ones() -> None:
    assert find(interrupt_schedules(10, 90), lambda inputs: len(inputs) >= 2) == 2 * [ExternalInterrupt(at_ns=10)]
    assert find(interrupt_schedules(10, 90), lambda inputs: any(isinstance(one, Tamper) for one in inputs)) == [
        Tamper(at_ns=10)
    ]


@pytest.mark.slow
@settings(max_examples=75)
@given(
    st.deferred(interrupts),
    st.deferred(lambda: host_answers(*limits())),
    st.deferred(lambda: memory_faults(*limits())),
)
def test_no_schedule_breaks_a_guarantee(
    interrupts: list[AnyInput], answers: list[AnyInput], faults: list[AnyInput]
) -> None:
    run = counter().run(inputs=[*interrupts, *answers, *faults])
    assert run.result.outcome in ("COMPLETED", "TAMPER", "GUEST_FAULT", "KERNEL_FAULT", "SHRED_SELF")
    (began,) = (event.at_ns for event in run.events if isinstance(event, AnnihilationBegan))
    if all(one.at_ns < began for one in faults):  # memory already scrubbed is not scrubbed again
        assert run.residue.ranges == ()
    if not faults:
        zero_trace([run]).check()
        jitter_free([run]).check()
        isolated([run]).check()


@settings(max_examples=20)
@given(st.data())
def test_a_run_with_inputs_repeats(data: st.DataObject) -> None:
    inputs = data.draw(interrupts())
    assert counter().run(inputs=inputs).result == observe("counter", cycles=3, inputs=inputs).result


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: interrupt_schedules(5, 4), "from 5 to 4 ns"),
        (lambda: interrupt_schedules(-1, 4), "from -1 to 4 ns"),
        (lambda: host_answers(0, 1, max_size=-1), "max_size is -1"),
        (lambda: memory_faults(0, 1, where=["attic"]), "no region attic; there are text"),
        (lambda: memory_faults(0, 1, where=[]), "no region"),
    ],
)
def test_impossible_bounds_are_refused_when_the_strategy_is_made(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigurationError, match=message):
        make()
