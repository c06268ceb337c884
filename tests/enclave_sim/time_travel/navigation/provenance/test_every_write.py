"""Every change that a single step makes is the origin of what it changed, whatever instruction made it."""

import functools
import re

import pytest
from hypothesis import given, settings

from enclave_sim.inputs import MemoryWrite
from enclave_sim.memory_map import region
from enclave_sim.strategies import InstructionSequence, instruction_sequences
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.navigation.provenance.decoding import decoded
from enclave_sim.time_travel.navigation.provenance.places import REGISTERS, VECTORS, Place
from enclave_sim.time_travel.navigation.provenance.roles import ROLES
from enclave_sim.time_travel.position import Position
from machine.architecture.instruction_set import ROWS, Map
from machine.architecture.processor_state import GENERAL_REGISTERS

CODE = region("staging").base
STEPS = 40
ASKED = (*GENERAL_REGISTERS, *VECTORS, "rflags")


@functools.cache
def session() -> Session:
    run = Session(b"\xeb\xfe", engine="native")
    run.run_to(address=CODE)
    return run


@functools.cache
def start() -> Position:
    return session().now


def contents(run: Session) -> dict[str, bytes]:
    cpu = run.machine.cpu
    vectors = cpu.context.vector_registers
    found = {name: int(getattr(cpu.registers, name)).to_bytes(8, "little") for name in GENERAL_REGISTERS}
    found |= {name: vectors[16 * number : 16 * number + 16] for number, name in enumerate(VECTORS)}
    return found | {"rflags": cpu.rflags.to_bytes(8, "little")}


@pytest.mark.slow
@settings(max_examples=25)
@given(instruction_sequences(min_size=4, max_size=12))
def test_what_a_step_changes_comes_from_that_step(guest: InstructionSequence) -> None:
    run = session()
    run.go_to(start())
    run.take(MemoryWrite(at_ns=0, address=CODE, data=guest.code.hex()))
    before = contents(run)
    for _ in range(STEPS):
        if run.subject.ended:
            break
        run.step()
        after = contents(run)
        for name in ASKED:
            changed = [n for n, (old, new) in enumerate(zip(before[name], after[name], strict=True)) if old != new]
            if changed:
                place = Place(name, changed[0], changed[-1] + 1 - changed[0])
                origins = run.where_from(place, depth=1).origins
                covered = {
                    n for one in origins if one.position == run.now for n in range(one.place.start, one.place.end)
                }
                assert covered.issuperset(changed), (name, run.now, run.machine.cpu.hook.last)
        before = after


def test_every_mnemonic_of_the_table_is_one_of_the_disassembler() -> None:
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    known = {decoder.insn_name(number) for number in range(1, 2000)} - {None}
    names = {name.partition("/")[0] for name in ROLES if name[0] != "/"}
    shorthand = re.compile(r"cmp\w+[ps][sd]|pclmul\w+|fwait|movabs|(in|out)s[bwd]")  # printed for operands or prefixes
    assert {name for name in names - known if not shorthand.fullmatch(name)} == set()


@pytest.mark.slow
def test_no_instruction_without_a_row_is_taken_for_one_that_writes_nothing() -> None:
    """Of all opcodes: if an instruction writes a register, its row does, or it has none and is not modelled."""
    silent = []
    for row in ROWS:
        if row.map in (Map.VEX_38, Map.VEX_3A):
            continue
        escape = {
            Map.ONE_BYTE: b"",
            Map.TWO_BYTE: b"\x0f",
            Map.THREE_BYTE_38: b"\x0f\x38",
            Map.THREE_BYTE_3A: b"\x0f\x3a",
        }
        for opcode in row.opcodes:
            for prefix in row.prefixes:
                code = (b"", b"\x66", b"\xf3", b"\xf2")[prefix] + escape[row.map] + bytes([opcode])
                for modrm in (0xC1 | row.extensions[0] << 3, 0x01 | row.extensions[0] << 3):
                    found = decoded((code + bytes([modrm]) + bytes(10))[:15], 0x1000, True)
                    if found is not None and found.effects == () and not special(found.name):
                        silent += [found.text for place in _written_by_capstone(code + bytes([modrm]) + bytes(10))]
    assert sorted(set(silent)) == []


def special(name: str) -> bool:
    """Those whose effects instructions.py makes, and control flow, which writes only RIP."""
    return name.startswith(("cmov", "iret")) or name in ("cmpxchg", "loop", "loope", "loopne", "verr", "verw", "wrmsr")


def _written_by_capstone(code: bytes) -> list[str]:
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.detail = True
    found = next(decoder.disasm(code[:15], 0x1000, 1), None)
    names = [] if found is None else [found.reg_name(one) for one in found.regs_access()[1]]
    return [name for name in names if name in REGISTERS and REGISTERS[name].space in (*GENERAL_REGISTERS, *VECTORS)]
