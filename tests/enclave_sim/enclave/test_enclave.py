"""The life of an enclave, from power-on to dormancy, by the specification."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import payloads
from enclave_sim import Enclave, Phase, Status, events
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import AnnihilationBegan, PhaseCompleted, PhaseEntered, Scrubbed
from enclave_sim.memory_map import region
from machine import events as machine_events
from tests.enclave_sim.enclave.lives import GUEST_FAULTS, assert_annihilated, kinds, run

_BOOT = Status.ARCH_LOCKED | Status.MEM_SANITIZED | Status.PAYLOAD_VERIFIED | Status.ACTIVE
BOOTED = _BOOT | Status.ATTESTED | Status.SIGNAL_READY


def test_the_boot_reaches_its_four_target_states_in_order() -> None:
    enclave, result = run("beacon")
    order = [(type(e).__name__, e.phase) for e in kinds(enclave, PhaseEntered, PhaseCompleted)]
    assert order == [(kind, phase.name) for phase in Phase for kind in ("PhaseEntered", "PhaseCompleted")]
    assert [p.state for p in result.phases] == [p.target_state for p in Phase]
    assert enclave.serial == "".join(f"{phase.name}\n" for phase in Phase)


def test_the_beacon_emits_the_status_word() -> None:
    _, result = run("beacon", cycles=3)
    assert [Status(s) for s in result.signals] == [
        BOOTED | Status.FIRST_CYCLE,
        BOOTED | Status.TIMER_WAKE,
        BOOTED | Status.TIMER_WAKE,
    ]


def test_every_processor_mode_on_the_way_is_recorded() -> None:
    enclave, _ = run("beacon")
    modes = [(e.previous, e.mode) for e in kinds(enclave, machine_events.ModeSwitched)]
    assert modes == [("reset", "protected"), ("protected", "compatibility"), ("compatibility", "long")]
    tables = [e.register for e in kinds(enclave, machine_events.DescriptorTableLoaded)]
    assert tables == ["GDTR", "IDTR", "GDTR", "TR", "IDTR", "IDTR"]


@pytest.mark.parametrize("name", payloads.names())
def test_every_built_in_payload_ends_in_annihilation_without_residue(name: str) -> None:
    enclave, result = run(name, cycles=2)
    expected = {"shredder": "SHRED_SELF"} | dict.fromkeys(GUEST_FAULTS, "GUEST_FAULT")
    assert_annihilated(enclave, result, expected.get(name, "COMPLETED"))


@pytest.mark.parametrize(("name", "vector"), GUEST_FAULTS.items())
def test_a_trap_is_a_real_exception_in_ring_3_through_the_idt(name: str, vector: int) -> None:
    enclave, _ = run(name)
    raised = kinds(enclave, machine_events.InterruptRaised)[-1]
    entered = [e for e in kinds(enclave, machine_events.RingTransition) if e.cause == "exception"]
    assert (raised.vector, raised.source) == (vector, "exception")
    assert [(e.from_ring, e.to_ring, e.vector) for e in entered] == [(3, 0, vector)]
    assert kinds(enclave, AnnihilationBegan)[0].detail == vector


@pytest.mark.parametrize(
    ("name", "guard", "error_code"),
    [("trespasser", region("heap").end, 4), ("abyss", region("guest_stack").base - 1, 6)],
)
def test_a_memory_trap_touches_its_guard_page(name: str, guard: int, error_code: int) -> None:
    raised = kinds(run(name)[0], machine_events.InterruptRaised)[-1]
    assert (raised.address, raised.error_code) == (guard, error_code)


def test_counter_finds_nothing_of_the_cycle_before() -> None:
    _, result = run("counter", cycles=4)
    assert result.signals == (1, 1) * 4


def test_greedy_is_never_given_memory() -> None:
    _, result = run("greedy")
    assert 0xFFFF_FFFF in result.signals


@pytest.mark.slow
def test_the_spinner_is_preempted_and_goes_on_correctly() -> None:
    _, often = run("spinner", quantum_ns=1_000_000)
    _, seldom = run("spinner", quantum_ns=300_000_000)
    assert often.signals == seldom.signals
    assert often.preemptions > 1000
    assert 1 <= seldom.preemptions <= 5


@pytest.mark.slow
def test_preemption_comes_at_the_same_points_each_time() -> None:
    first, second = (run("spinner", quantum_ns=10_000_000)[0] for _ in range(2))
    points = [
        [e.at_ns for e in kinds(enclave, machine_events.RingTransition) if e.cause == "external_interrupt"]
        for enclave in (first, second)
    ]
    assert points[0] == points[1]
    assert len(points[0]) > 50


def test_a_wake_comes_exactly_at_its_deadline() -> None:
    enclave, _ = run("beacon", cycles=5, wake_ns=123_457)
    woken = kinds(enclave, events.Woken)
    assert [(w.source, w.latency_ns) for w in woken] == [("timer", 0)] * 4
    assert [w.deadline_ns for w in woken] == [w.deadline_ns for w in kinds(enclave, events.WakeScheduled)]


def test_an_external_interrupt_wakes_the_enclave_and_is_told_so(guest: Callable[[str], bytes]) -> None:
    enclave = Enclave("beacon", cycles=2, wake_ns=4_000_000_000)
    enclave.run(limit_ns=100_000_000)
    enclave.interrupt()
    result = enclave.run()
    assert result.virtual_ns < 200_000_000
    assert Status(result.signals[1]) == BOOTED | Status.EXTERNAL_WAKE


def test_registers_that_are_no_result_are_zero_when_ring_3_goes_on(guest: Callable[[str], bytes]) -> None:
    enclave = Enclave(guest('(func (export "_start") (call $emit_signal (i32.const 7)))'))
    seen: list[dict[str, int]] = []
    real = enclave.machine.coprocessor
    assert real is not None

    coprocessor = real

    class Watch:
        address = coprocessor.address

        def execute(self, operand: int, budget_ns: int) -> object:
            names = "RBX RCX RDX RSI RDI RBP R8 R9 R10 R11 R12 R13 R14 R15".split()
            cpu = enclave.machine.cpu
            values = {name: cpu.read_register(name) for name in names}
            values |= {f"XMM{n}": cpu.read_register(f"XMM{n}") for n in range(16)}
            values |= {f"ST{n}": cpu.read_register(f"ST{n}") for n in range(8)}
            seen.append(values)
            return coprocessor.execute(operand, budget_ns)

    enclave.machine.coprocessor = Watch()  # type: ignore[assignment]
    enclave.run()
    assert len(seen) == 2
    assert [{name for name, value in values.items() if value} for values in seen] == [set(), set()]


def test_the_call_stack_is_scrubbed_on_every_return_to_ring_3(guest: Callable[[str], bytes]) -> None:
    enclave, result = run(guest('(func (export "_start") (call $emit_signal (i32.const 7)) (drop (call $get_status)))'))
    returns = [e for e in kinds(enclave, Scrubbed) if e.cause == "host_call"]
    assert len(returns) == result.host_calls == 2


def test_the_irq_stack_is_scrubbed_on_every_return() -> None:
    enclave, result = run("spinner", quantum_ns=100_000_000)
    returns = [e for e in kinds(enclave, Scrubbed) if e.cause == "interrupt"]
    assert len(returns) == result.preemptions > 0


# The Python interface.


def test_the_enclave_is_stepped_phase_by_phase() -> None:
    enclave = Enclave("beacon")
    assert enclave.phase is None
    for phase in Phase:
        assert enclave.run_to(phase)
        assert enclave.phase is phase
        assert not enclave.dormant
    assert enclave.signals == ()
    assert enclave.run().outcome == "COMPLETED"


def test_run_to_says_when_a_phase_was_not_reached() -> None:
    enclave = Enclave(b"\0asm\1\0\0\0")
    assert not enclave.boot()
    assert enclave.dormant


def test_several_payloads_take_turns() -> None:
    _, result = run(["beacon", "counter"], cycles=4)
    assert [result.signals[i] for i in (1, 2, 4, 5)] == [1, 1, 1, 1]
    assert isinstance(result.payload_sha256, tuple)
    assert len(result.payload_sha256) == 2


def test_stepping_changes_nothing() -> None:
    _, straight = run("counter", cycles=2)
    stepped = Enclave("counter", cycles=2)
    for phase in Phase:
        stepped.run_to(phase)
    while (result := stepped.run(limit_ns=stepped.machine.clock.now_ns + 777)).outcome == "LIMIT":
        pass
    assert result.digest == straight.digest


def test_the_result_is_one_json_object() -> None:
    data = json.loads(run("beacon")[1].to_json())
    assert {
        "outcome",
        "phases",
        "signals",
        "cycles",
        "transitions",
        "host_calls",
        "preemptions",
        "residue_bytes",
        "halted",
        "virtual_ns",
        "digest",
        "firmware_sha256",
        "payload_sha256",
    } <= data.keys()


@pytest.mark.parametrize(
    "options",
    [
        {"cycles": 0},
        {"wake_ns": 1},
        {"quantum_ns": 2**40},
        {"arena_bytes": -1},
        {"sensors": (1 << 32, 0)},
        {"features": frozenset(["telepathy"])},
        {"ns_per_instruction": 0},
    ],
)
def test_options_out_of_range_are_refused_with_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Enclave("beacon", **options)
    assert "\n" not in str(caught.value)
    assert next(iter(options)).rstrip("s") in str(caught.value) or "feature" in str(caught.value)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(quantum_ns=st.integers(1000, 6000), ns_per_instruction=st.sampled_from([1, 1, 2]))
def test_wherever_the_timer_strikes_the_guest_computes_the_same(
    guest: Callable[[str], bytes], quantum_ns: int, ns_per_instruction: int
) -> None:
    """Short slices: deadlines fall into the guest, the gate, the kernel's host calls and its handlers."""
    body = """(global $sum (mut i32) (i32.const 1))
      (func (export "_start") (local $i i32)
        (loop $again
          (global.set $sum (i32.mul (i32.add (global.get $sum) (local.get $i)) (i32.const 31)))
          (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 100))) (then (call $emit_signal (global.get $sum))))
          (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2000)))))"""
    quantum_ns *= ns_per_instruction
    enclave = Enclave(guest(body), quantum_ns=quantum_ns, ns_per_instruction=ns_per_instruction)
    result = enclave.run()
    total, expected = 1, []
    for i in range(2000):
        total = (total + i) * 31 & 0xFFFF_FFFF
        expected += [total] if i % 100 == 0 else []
    assert list(result.signals) == expected
    assert result.preemptions > 0
    assert (result.outcome, result.residue_bytes) == ("COMPLETED", 0)
    entered = [e for e in kinds(enclave, machine_events.RingTransition) if e.cause == "external_interrupt"]
    assert all(e.from_ring == 3 for e in entered), "the kernel runs with interrupts off"


def test_an_instruction_may_take_more_than_a_nanosecond() -> None:
    one, ten = (run("counter", cycles=2, ns_per_instruction=n)[1] for n in (1, 10))
    assert ten.signals == one.signals
    assert ten.virtual_ns > one.virtual_ns


@settings(max_examples=30)
@given(quantum_ns=st.integers(1500, 1800), cycles=st.integers(2, 3))
def test_a_time_slice_that_ends_with_the_guest_does_not_end_the_sleep(quantum_ns: int, cycles: int) -> None:
    enclave = Enclave("greedy", cycles=cycles, quantum_ns=quantum_ns)
    enclave.run()
    assert [w.latency_ns for w in kinds(enclave, events.Woken)] == [0] * (cycles - 1)


@pytest.mark.slow
@settings(max_examples=30)
@given(before_ns=st.integers(0, 400))
def test_a_sleep_is_ended_once_by_what_comes_first(before_ns: int) -> None:
    slept = Enclave("beacon", cycles=2)
    slept.run()
    deadline = kinds(slept, events.WakeScheduled)[0].deadline_ns
    enclave = Enclave("beacon", cycles=2)
    enclave.run(limit_ns=deadline - before_ns)
    enclave.interrupt()
    result = enclave.run()
    (woken,) = kinds(enclave, events.Woken)
    reason = Status.EXTERNAL_WAKE if woken.source == "external" else Status.TIMER_WAKE
    assert Status(result.signals[1]) == BOOTED | reason


def test_a_phase_whose_target_state_is_reached_is_not_run_to_again() -> None:
    enclave = Enclave("beacon")
    assert enclave.boot()
    before = enclave.machine.clock.now_ns
    assert enclave.run_to(Phase.MEM_MAP)
    assert enclave.machine.clock.now_ns == before
