"""The outcomes of runs with faults, one example of each, and what repeats."""

import weakref

import pytest

from enclave_sim import Enclave
from enclave_sim.campaigns import (
    AnyFault,
    AnyTrigger,
    AtAddress,
    AtEvent,
    AtInstruction,
    AtTime,
    Bench,
    Injection,
    InterruptStorm,
    MemoryBits,
    Outcome,
    PartFault,
    Record,
    RegisterBits,
    StuckMemory,
    StuckRegister,
)
from enclave_sim.campaigns.faults import Answer, ClockDrift
from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import AfterEvent
from enclave_sim.memory_map import region

BEGUN = AtEvent(AfterEvent("cycle_began"))


@pytest.fixture(scope="module")
def bench() -> Bench:
    made = Bench("beacon")
    made.prepare([made.golden.span_of("EXEC_LOOP").start, made.golden.end_ns])
    return made


def at_start(bench: Bench) -> int:
    return bench.golden.span_of("EXEC_LOOP").start


def test_a_value_that_is_used_without_consequence_is_masked(bench: Bench) -> None:
    record = bench.run(Injection(RegisterBits("cr4", 1 << 7), BEGUN))  # PGE
    assert (record.outcome, record.cause, record.guarantees) == (Outcome.MASKED, "COMPLETED", ())


def test_a_wrong_stack_pointer_is_detected(bench: Bench) -> None:
    record = bench.run(Injection(RegisterBits("rsp", 1 << 40), BEGUN))
    assert (record.outcome, record.cause, record.phase) == (Outcome.DETECTED, "KERNEL_FAULT", "EXEC_LOOP")
    assert record.evidence[-1].startswith("first difference: ")


def test_an_interrupt_table_at_a_wrong_address(bench: Bench) -> None:
    record = bench.run(Injection(RegisterBits("idtr_base", 1 << 40), BEGUN))
    assert (record.outcome, record.cause) == (Outcome.MASKED, "COMPLETED")  # it is loaded again before ring 3
    record = bench.run(
        Injection(RegisterBits("idtr_base", 1 << 40), AtEvent(AfterEvent("ring_transition", {"to_ring": 3})))
    )
    assert (record.outcome, record.cause) == (Outcome.KERNEL_DIED, "KERNEL_STOPPED")
    assert "triple fault" in record.detail


def test_memory_at_a_wrong_address_kills_the_kernel(bench: Bench) -> None:
    record = bench.run(Injection(RegisterBits("cr3", 1 << 30), BEGUN))
    assert (record.outcome, record.cause) == (Outcome.KERNEL_DIED, "KERNEL_STOPPED")


def test_a_register_of_ring_0_that_fails_in_ring_3_is_not_changed_by_the_guest(bench: Bench) -> None:
    entered = AtEvent(AfterEvent("ring_transition", {"to_ring": 3}))
    record = bench.run(Injection(RegisterBits("cr2", 1), entered))
    assert (record.outcome, record.guarantees) == (Outcome.MASKED, ())
    record = bench.run(Injection(RegisterBits("gs_base", 1), entered))
    assert (record.outcome, record.guarantees) == (Outcome.MASKED, ())


def test_protection_that_is_switched_off_breaks_isolation(bench: Bench) -> None:
    record = bench.run(Injection(RegisterBits("cr4", 1 << 20), BEGUN))  # SMEP
    assert (record.outcome, record.guarantees) == (Outcome.GUARANTEE_BROKEN, ("isolated",))
    assert "SMEP" in record.evidence[0]


def test_a_moment_that_never_comes_does_not_activate(bench: Bench) -> None:
    late = AtTime(bench.golden.end_ns + 1)
    triggers: list[AnyTrigger] = [late, AtEvent(AfterEvent("woken")), AtInstruction(1 << 40), AtAddress(0x1234)]
    for trigger in triggers:
        assert bench.run(Injection(RegisterBits("rax", 1), trigger)).outcome is Outcome.NOT_ACTIVATED


@pytest.mark.parametrize(
    "fault",
    [
        PartFault("interrupt", "lose", 0x21),
        StuckRegister("r15", 1 << 40, 0, 20),
    ],
)
def test_a_fault_that_changes_nothing_does_not_activate(bench: Bench, fault: AnyFault) -> None:
    assert bench.run(Injection(fault, BEGUN)).outcome is Outcome.NOT_ACTIVATED


def test_a_bit_that_is_stuck_at_its_value_does_not_activate(bench: Bench) -> None:
    unused = region("kernel_stack").base - 4096  # a guard page, which nothing may write
    assert bench.run(Injection(StuckMemory(unused, 1, 0, 100), BEGUN)).outcome is Outcome.NOT_ACTIVATED
    assert bench.run(Injection(StuckMemory(unused, 1, 1, 100), BEGUN)).outcome is not Outcome.NOT_ACTIVATED


def test_a_stuck_bit_of_memory_survives_writes(bench: Bench) -> None:
    stack = region("call_stack")
    fault = StuckMemory(stack.end - 8, 4, 1, bench.golden.end_ns)
    record = bench.run(Injection(fault, BEGUN))
    assert (record.outcome, record.guarantees) == (Outcome.GUARANTEE_BROKEN, ("zero-trace", "residue"))
    recording = bench.enclave.recording
    assert recording is not None
    assert sum(type(event).__name__ == "InputTaken" for event in recording.events) > 1


def test_a_stuck_register_acts_again_and_again(bench: Bench) -> None:
    record = bench.run(Injection(StuckRegister("rsp", 1 << 40, 1, 50), BEGUN))
    assert record.outcome in (Outcome.DETECTED, Outcome.KERNEL_DIED, Outcome.HANG)


def test_storms_and_drift_end(bench: Bench) -> None:
    drift = bench.run(Injection(ClockDrift(50, 10, 20), BEGUN))
    assert drift.outcome is Outcome.MASKED
    assert drift.end_ns == bench.golden.end_ns + 10 * 50
    storm = bench.run(Injection(InterruptStorm(0x21, 20, 100), BEGUN))
    assert storm.outcome is Outcome.MASKED
    assert not storm.same


def test_an_answer_out_of_range(bench: Bench) -> None:
    assert bench.run(Injection(Answer(0, 0xFFFF_FFFF), BEGUN)).outcome is Outcome.MASKED  # nothing reads it


def test_triggers_meet_at_one_moment(bench: Bench) -> None:
    fault = RegisterBits("rsp", 1 << 40)
    by_event = bench.run(Injection(fault, BEGUN))
    assert by_event.rip is not None
    assert by_event.instructions is not None
    others: list[AnyTrigger] = [AtTime(by_event.at_ns or 0), AtInstruction(by_event.instructions)]
    for trigger in others:
        again = bench.run(Injection(fault, trigger))
        assert (again.digest, again.rip) == (by_event.digest, by_event.rip)
    visited = bench.run(Injection(fault, AtAddress(by_event.rip)))
    assert (visited.rip, visited.outcome) == (by_event.rip, by_event.outcome)


@pytest.mark.slow
def test_a_run_is_that_of_a_fresh_enclave_whatever_ran_before(bench: Bench) -> None:
    start = at_start(bench)
    injections = [
        Injection(RegisterBits("rsp", 1 << 40), AtTime(start + 200)),
        Injection(MemoryBits(region("data").base + 0x100, 0xFF), AtTime(start + 300)),
        Injection(PartFault("instruction", "skip", 1), AtTime(start + 400)),
    ]
    first = [bench.run(one) for one in injections]
    assert [bench.run(one) for one in reversed(injections)] == first[::-1]
    fresh = Bench("beacon")
    assert [fresh.run(one) for one in injections] == first  # without snapshots near the moment


def test_its_recording_replays(bench: Bench) -> None:
    record = bench.run(Injection(RegisterBits("rsp", 1 << 40), BEGUN))
    recording = bench.enclave.recording
    assert recording is not None
    taken = [event for event in recording.events if type(event).__name__ == "InputTaken"]
    assert len(taken) == 1
    again = Enclave("beacon", inputs=[taken[0].given]).run()  # type: ignore[attr-defined]
    assert (again.outcome, again.virtual_ns) == (record.cause, record.end_ns)


@pytest.mark.parametrize(
    ("part", "effect", "value", "event", "outcome", "cause"),
    [
        ("tpm", "error", 0x101, "cycle_began", Outcome.DETECTED, "ATTESTATION_REFUSED"),
        ("tpm", "delay", 10**9, "cycle_began", Outcome.HANG, "LIMIT"),
        ("tpm", "delay", 1000, "cycle_began", Outcome.MASKED, "COMPLETED"),
        ("tpm", "fail", 1, "annihilation_began", Outcome.GUARANTEE_BROKEN, "COMPLETED"),  # the PCR is not capped
        ("pcr9", "flip", 1, "cycle_began", Outcome.CORRUPTION, "COMPLETED"),  # the guest is told: not attested
        ("pcr13", "flip", 1, "cycle_ended", Outcome.MASKED, "COMPLETED"),
        ("mailbox", "flip", 1, "cycle_began", Outcome.DETECTED, "PAYLOAD_REJECTED"),
    ],
)
def test_a_tpm_and_a_host_that_fail(
    bench: Bench, part: str, effect: str, value: int, event: str, outcome: Outcome, cause: str
) -> None:
    record = bench.run(Injection(PartFault(part, effect, value), AtEvent(AfterEvent(event))))
    assert (record.outcome, record.cause) == (outcome, cause)
    assert bench.run(Injection(RegisterBits("cr4", 1 << 7), BEGUN)).outcome is Outcome.MASKED  # nothing is left of it


def test_a_bench_that_is_made_anew_leaves_nothing_of_the_old_one() -> None:
    bench = Bench("beacon")
    old = weakref.ref(bench.enclave)
    bench._unfinished(Injection(RegisterBits("rax", 1), BEGUN), ("given up",))
    assert old() is None


def test_an_endless_chain_of_faults_hangs(bench: Bench) -> None:
    table = region("page_tables").base
    records: list[Record] = []
    for offset in range(0, 0x4000, 8):
        records.append(bench.run(Injection(MemoryBits(table + offset, 1), BEGUN)))
        if len(records) == 4:
            break
    assert {record.outcome for record in records} <= set(Outcome) - {Outcome.EMULATOR_LIMIT}


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (MemoryBits(1 << 40, 1), "MemoryBits: there is no RAM at 0x10000000000"),
        (RegisterBits("cr9", 1), "RegisterBits: there is no part 'cr9'"),
        (PartFault("instruction", "skip", 99), "PartFault: value 99 is not possible for instruction"),
    ],
)
def test_an_impossible_fault_is_one_line(bench: Bench, fault: AnyFault, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        bench.run(Injection(fault, BEGUN))


def test_an_enclave_that_does_not_end_well_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no payload 'nonesuch'"):
        Bench("nonesuch")
