"""Schedules of inputs are as described, shrink to simple ones, and break no enclave."""

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from enclave_sim import ConfigurationError, Enclave
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.events import AnnihilationBegan, InputTaken, WakeScheduled
from enclave_sim.guarantees import ObservedTemplate, Run, isolated, jitter_free, observe, zero_trace
from enclave_sim.inputs import AfterEvent, AnyInput, ExternalInterrupt, MemoryFault, SensorValue, Tamper, UplinkReady
from enclave_sim.memory_map import region_at
from enclave_sim.specification import Attestation, EngineName
from enclave_sim.strategies import configurations, host_answers, inputs_after, interrupt_schedules, memory_faults


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
@pytest.mark.parametrize("strategy", [interrupt_schedules, host_answers, memory_faults])
def test_half_of_the_times_are_near_those_given(strategy: Callable[..., st.SearchStrategy[list[AnyInput]]]) -> None:
    end, near, drawn = 1 << 60, (1 << 60) // 7, list[int]()

    @settings(max_examples=100, database=None)
    @given(strategy(0, end, near=[near, end]))
    def draw(inputs: list[AnyInput]) -> None:
        drawn.extend(one.at_ns for one in inputs)

    draw()
    assert max(drawn) <= end
    assert sum(abs(at - near) <= 500 for at in drawn) > len(drawn) // 10
    assert sum(end - at <= 500 for at in drawn) > len(drawn) // 10


@given(inputs_after(["cycle_began", AfterEvent("host_called", {"number": 1})], within_ns=7, most=2))
def test_inputs_follow_events(inputs: list[AnyInput]) -> None:
    for one in inputs:
        assert isinstance(one, ExternalInterrupt | Tamper | SensorValue | UplinkReady)
        assert one.after is not None
        assert (one.after.event, one.after.fields) in [("cycle_began", {}), ("host_called", {"number": 1})]
        assert one.after.count in (1, 2)
        assert 0 <= one.at_ns <= 7


@pytest.mark.slow
def test_inputs_that_follow_events_shrink_to_the_first_event_and_are_taken() -> None:
    strategy = inputs_after([WakeScheduled, "cycle_began"], tamper=False)
    (found,) = find(strategy, bool)
    assert found == ExternalInterrupt(at_ns=0, after=AfterEvent("wake_scheduled"))
    assert not any(isinstance(event, InputTaken) for event in calm().events)
    assert any(isinstance(event, InputTaken) for event in counter().run(inputs=[found]).events)
    assert find(inputs_after(["cycle_began"]), lambda inputs: any(isinstance(one, Tamper) for one in inputs)) == [
        Tamper(at_ns=0, after=AfterEvent("cycle_began"))
    ]


@settings(max_examples=15, deadline=None)
@given(configurations())
def test_a_good_payload_completes_in_every_configuration(configuration: EnclaveConfiguration) -> None:
    result = Enclave("counter", configuration=configuration).run()
    assert (result.outcome, result.cycles) == ("COMPLETED", configuration.cycles)


@given(configurations(engine="native", cycles=9, quantum_ns=12_000))
def test_options_of_a_configuration_can_be_fixed(configuration: EnclaveConfiguration) -> None:
    assert (configuration.engine, configuration.cycles, configuration.quantum_ns) == (EngineName.NATIVE, 9, 12_000)


@pytest.mark.slow
def test_configurations_shrink_to_the_simplest_and_differ() -> None:
    assert find(configurations(), lambda _one: True) == EnclaveConfiguration(
        wake_ns=1000, quantum_ns=1000, attestation=Attestation.OFF
    )
    assert find(configurations(), lambda one: one.post_quantum and one.cycles > 2).cycles == 3


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
        (lambda: inputs_after([]), "no kind of event is given"),
        (lambda: inputs_after(["cycle_begin"]), "did you mean cycle_began"),
        (lambda: inputs_after([AfterEvent("cycle_begin")]), "did you mean cycle_began"),
        (lambda: inputs_after(["cycle_began"], within_ns=-1), "within_ns is -1"),
        (lambda: inputs_after(["cycle_began"], most=0), "most is 0"),
        (lambda: configurations(cycels=1), "did you mean cycles"),
        (lambda: configurations(cycles=0), "cycles is 0"),
    ],
)
def test_impossible_bounds_are_refused_when_the_strategy_is_made(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigurationError, match=message):
        make()
