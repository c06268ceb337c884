"""Pruning by def and use: pilots with weights equal brute force, exactly."""

from collections import Counter

import pytest

from enclave_sim.campaigns import AtInstruction, Bench, Injection, Outcome, Record, RegisterBits
from enclave_sim.campaigns.golden import Moment
from enclave_sim.campaigns.register_uses import Class, Uses, _decoded
from enclave_sim.errors import ConfigurationError
from machine.architecture.processor_state import GENERAL_REGISTERS


def summary(record: Record) -> tuple[object, ...]:
    return record.outcome, record.guarantees, record.cause, record.detail


def compare(start: int, length: int, registers: tuple[str, ...], bits: list[int]) -> tuple[int, int]:
    """Compare pilots with every run of a window; return the numbers of pilots and of runs."""
    bench = Bench("beacon")
    classes = bench.trace_registers(range(start, start + length)).classes(registers)
    bench.makes_all = True
    bench.golden.go_to(Moment(instructions=start))
    now = bench.enclave.machine.clock.now_ns
    bench.prepare([now, now + length])
    by_pilots, by_force = Counter[object](), Counter[object]()
    pilots = 0
    for one in classes:
        for bit in bits:
            pilots += one.read
            pilot = bench.run(Injection(RegisterBits(str(one.target), 1 << bit), AtInstruction(one.last)))
            assert one.read or (pilot.outcome is Outcome.MASKED and pilot.same), one
            by_pilots[one.target, bit, summary(pilot)] += one.weight
    for register in registers:
        for bit in bits:
            for at in range(start, start + length):
                run = bench.run(Injection(RegisterBits(register, 1 << bit), AtInstruction(at)))
                by_force[register, bit, summary(run)] += 1
    assert by_pilots == by_force
    return pilots, sum(by_force.values())


def test_pilots_with_weights_equal_brute_force() -> None:
    pilots, runs = compare(116_800, 8, ("rax", "rsp", "r14"), [3, 40])
    assert runs == 8 * 3 * 2
    assert pilots < runs


@pytest.mark.long
def test_pilots_with_weights_equal_brute_force_for_all_registers() -> None:
    pilots, runs = compare(116_800, 500, GENERAL_REGISTERS, [3])
    assert runs == 500 * 16
    assert pilots < runs / 2


def test_the_classes_of_a_window_have_each_moment_once() -> None:
    classes = Bench("beacon").trace_registers(range(116_800, 116_900)).classes()
    for register in GENERAL_REGISTERS:
        own = [one for one in classes if one.target == register]
        assert [n for one in own for n in range(one.first, one.last + 1)] == list(range(116_800, 116_900))
    assert sum(one.weight for one in classes) == 100 * len(GENERAL_REGISTERS)


def test_an_overwritten_register_is_not_activated() -> None:
    bench = Bench("beacon")
    dead = next(one for one in bench.trace_registers(range(116_800, 116_900)).classes() if not one.read)
    record = bench.run(Injection(RegisterBits(str(dead.target), 1), AtInstruction(dead.first)))
    assert record.outcome is Outcome.NOT_ACTIVATED
    assert record.evidence == ("the register is overwritten before it is read",)


@pytest.mark.parametrize(
    ("code", "reads", "kills"),
    [
        ("4889d8", "rbx", "rax"),  # MOV RAX, RBX
        ("89d8", "rbx", "rax"),  # MOV EAX, EBX clears the upper half
        ("88d8", "rbx rax", ""),  # MOV AL, BL keeps the rest
        ("480f44c3", "rbx rax", ""),  # CMOVE RAX, RBX may keep it
        ("488b4c8b08", "rbx rcx", ""),  # MOV RCX, [RBX+RCX*4+8]
        ("4088ec", "rbp rsp", ""),  # MOV SPL, BPL
        ("53", "rbx rsp", ""),  # PUSH RBX
        ("f348ab", "rax rcx rdi", ""),  # REP STOSQ
        ("ffffff", " ".join(GENERAL_REGISTERS), ""),  # unknown
    ],
)
def test_the_uses_of_an_instruction(code: str, reads: str, kills: str) -> None:
    assert _decoded(bytes.fromhex(code)) == Uses(frozenset(reads.split()), frozenset(kills.split()))


def test_a_window_outside_the_run_is_refused() -> None:
    bench = Bench("beacon")
    for window in (range(5, 5), range(10**9, 10**9 + 1)):
        with pytest.raises(ConfigurationError, match="are no window of a run of"):
            bench.trace_registers(window)


def test_the_weight_of_a_class() -> None:
    assert Class("rax", 5, 9, True).weight == 5
