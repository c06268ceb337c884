"""Generated code in ring 3, random or hostile, ends or can be ended in annihilation without residue."""

from collections import Counter
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from enclave_sim import Enclave, Template
from enclave_sim.memory_map import region
from enclave_sim.strategies import InstructionSequence, instruction_sequences, machine_code
from enclave_sim.strategies.x86.encoding import load, memory, pop, push, registers
from enclave_sim.strategies.x86.machine_code import disassemble
from enclave_sim.strategies.x86.operands import Decisions
from enclave_sim.strategies.x86.template import Template as InstructionTemplate
from enclave_sim.strategies.x86.templates import DISTINCT
from tests.enclave_sim.strategies.surveys import surveyed

UNKNOWN_TO_CAPSTONE = ("bytes", "any opcode", "SALC", "INTO", "AAM", "LOCK_NOP", "UMONITOR")
ENDS = ("COMPLETED", "SHRED_SELF", "GUEST_FAULT")
QUANTUM_NS, GUEST_NS = 2_000, 5_000
"""With x87 or SIMD exceptions unmasked the machine checks every instruction, and executes only thousands a second."""
search = settings(max_examples=2000, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
PENDING = bytes.fromhex("687b030000 d92c24 d9e8 d9ee def9")
"""PUSH, FLDCW of 0x37B, FLD1, FLDZ, FDIVP: division by zero is unmasked; #MF waits for the next x87 instruction."""


sequences = instruction_sequences()
long_sequences = instruction_sequences(max_size=40)
bits64 = st.integers(0, (1 << 64) - 1)
numbers = st.integers(0, 15)


def ends_well(code: bytes) -> str:
    """Run a flat guest; one that does not end is stopped by the tamper line. Returns the outcome."""
    enclave = Enclave(code, engine="native", quantum_ns=QUANTUM_NS)
    assert enclave.boot()
    return ended(enclave)


@cache
def booted() -> Template:
    return Template(InstructionSequence(()).code, engine="native", quantum_ns=QUANTUM_NS)


def ended(enclave: Enclave) -> str:
    """Run a booted enclave to its end, and return the outcome."""
    machine = enclave.machine
    enclave.run(limit_ns=machine.clock.now_ns + GUEST_NS)
    while enclave.block.cause is None and machine.cpu.registers.cpl != 3:  # a host call, or the end of the cycle
        enclave.run(limit_ns=machine.clock.now_ns + GUEST_NS)
    computes = enclave.block.cause is None
    if computes:
        enclave.tamper()
    result = enclave.run()
    assert result.outcome in (("TAMPER",) if computes else ENDS)
    assert result.clean
    return result.outcome


@pytest.mark.slow
@settings(max_examples=60)
@given(machine_code())
def test_random_bytes_end_without_residue(code: bytes) -> None:
    ends_well(code)


@pytest.mark.slow
@settings(max_examples=100)
@given(sequences)
def test_hostile_instructions_end_without_residue(sequence: InstructionSequence) -> None:
    ends_well(sequence.code)


@pytest.mark.long
@settings(max_examples=300)
@given(long_sequences | machine_code(max_size=4096))
def test_many_hostile_guests_end_without_residue(guest: InstructionSequence | bytes) -> None:
    ends_well(guest if isinstance(guest, bytes) else guest.code)


@pytest.mark.parametrize("ending", ["0f0b", "31c0 cd80 b803000000 cd80"], ids=["UD2", "host calls"])
def test_a_pending_x87_exception_does_not_reach_the_kernel(ending: str) -> None:
    ends_well(PENDING + bytes.fromhex(ending))


@pytest.mark.parametrize("template", DISTINCT, ids=lambda template: template.name)
def test_a_template_alone_ends_without_residue_and_capstone_knows_its_instructions(
    template: InstructionTemplate,
) -> None:
    code = template.encode(Decisions(bytes([1, 2, 3, 4, 5, 6])))
    if template.name not in UNKNOWN_TO_CAPSTONE:
        assert not [line for line in disassemble(code, 0) if ".byte" in line]
    ended(booted().start(InstructionSequence(((template.name, code),)).code))


def test_a_guest_that_computes_for_ever_is_stopped_by_the_tamper_line() -> None:
    assert ends_well(b"\xeb\xfe") == "TAMPER"


def test_the_empty_sequence_completes() -> None:
    assert ends_well(InstructionSequence(()).code) == "COMPLETED"


@pytest.mark.slow
def test_some_thousand_sequences_use_every_template() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=4000, database=None, derandomize=True, phases=[Phase.generate])
    @given(instruction_sequences(min_size=4))
    def look(sequence: InstructionSequence) -> None:
        seen.update(name for name, _ in sequence.steps)

    assert surveyed(look, lambda: [template.name for template in DISTINCT if not seen[template.name]]) == []


@given(code=machine_code(min_size=3, max_size=5))
def test_bounds_are_kept(code: bytes) -> None:
    assert 3 <= len(code) <= 5


@pytest.mark.slow
def test_sequences_shrink_to_the_instruction_that_matters() -> None:
    smallest = find(instruction_sequences(), lambda s: any(name == "SWAPGS" for name, _ in s.steps), settings=search)
    assert [name for name, _ in smallest.steps] == ["SWAPGS"]


def test_a_sequence_is_printed_as_a_disassembly() -> None:
    smallest = find(instruction_sequences(), lambda s: any(name == "store" for name, _ in s.steps), settings=search)
    base = region("staging").base
    assert repr(smallest).splitlines() == [
        "InstructionSequence",
        "; store",
        f"  {base:#x}: b80000c000           mov eax, 0xc00000",
        f"  {base + 5:#x}: 488900               mov qword ptr [rax], rax",
        "; return",
        f"  {base + 8:#x}: b803000000           mov eax, 3",
        f"  {base + 13:#x}: cd80                 int 0x80",
    ]


NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()


@given(register=numbers, base=numbers, value=bits64)
def test_the_encoder_says_what_capstone_reads(register: int, base: int, value: int) -> None:
    def read(code: bytes) -> str:
        (line,) = disassemble(code, 0)
        return line.split(maxsplit=2)[2]

    name, pointer = NAMES[register], NAMES[base]
    moved = read(load(register, value))
    assert moved.startswith(("mov ", "movabs "))
    assert int(moved.split(", ")[1], 0) == value
    assert read(registers(b"\x89", register, base)) == f"mov {pointer}, {name}"
    assert read(memory(b"\x8b", register, base)) == f"mov {name}, qword ptr [{pointer}]"
    assert (read(push(register)), read(pop(register))) == (f"push {name}", f"pop {name}")
