"""Disassembly around an address, with symbols and the kernel's source lines. Decoding is capstone's."""

from collections.abc import Iterator
from dataclasses import dataclass

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.inspector.model.machine.addresses import translation
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning, Part, Row, Target, View, note
from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine

_BEFORE = 96
"""Bytes of code shown before the address."""
_AFTER = 640
_LONGEST = 15


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a disassembly."""

    address: int
    data: bytes
    mnemonic: str
    operands: str


def code_view(moment: Moment, address: int | None = None) -> View:
    """Code around a linear address; around RIP unless one is given."""
    cpu, program = moment.machine.cpu, moment.program
    rip = cpu.linear_rip
    centre = rip if address is None else address
    points = {one.address for one in moment.run.breakpoints}
    rows: list[Row] = []
    physical = translation(moment.machine)
    here = 0
    line: SourceLine | None = None
    for one in disassembly(moment.machine, program, centre):
        name = program.symbol(one.address)
        if name and "+" not in name:
            rows.append(Row(((f"{name}:", Meaning.TITLE),), Target(code=one.address)))
        at = program.lines.at(one.address) if program.is_code(one.address) else None
        if at is not None and at != line:
            rows.append(Row(((f"  {at}  ", Meaning.DIM), (program.lines.text(at), Meaning.NOTE))))
        line = at
        if one.address == centre:
            here = len(rows)
        marks = f"{'B' if one.address in points else ' '}{'>' if one.address == rip else ' '}"
        rows.append(_row(one, marks, _named(program, one.operands), physical(one.address)))
    if not rows:
        rows = [note(f"no code can be read at {centre:#x}: not mapped, or no RAM")]
    where = program.symbol(centre) or f"{centre:#x}"
    return View(tuple(rows), here, where if address is None else f"{where} (not RIP)")


def _row(one: Instruction, marks: str, known: str, memory: int | None) -> Row:
    meaning = Meaning.HERE if ">" in marks else Meaning.PLAIN
    parts: list[Part] = [
        (marks, Meaning.BAD if "B" in marks else meaning),
        (f"{one.address:08x} ", Meaning.DIM),
        (f"{one.mnemonic:<7} {one.operands}", meaning),
    ]
    if known:
        parts.append((f"  {known}", Meaning.NAME))
    return Row(tuple(parts), Target(code=one.address, jump=_leads_to(one), memory=memory, size=len(one.data)))


def _leads_to(one: Instruction) -> int | None:
    """Where a direct jump or call leads."""
    direct = one.mnemonic[0] == "j" or one.mnemonic in ("call", "loop", "jrcxz")
    return int(one.operands, 16) if direct and one.operands.startswith("0x") else None


def _named(program: Program, operands: str) -> str:
    """The symbol of an address among the operands."""
    for word in operands.replace("[", " ").replace("]", " ").replace(",", " ").split():
        if word.startswith("0x") and len(word) > 6:
            try:
                return program.symbol(int(word, 16))
            except ValueError:
                continue
    return ""


def disassembly(machine: Machine, program: Program, centre: int) -> Iterator[Instruction]:
    """Instructions from some bytes before a linear address on, so that one begins exactly there."""
    from capstone import CS_ARCH_X86, CS_MODE_32, CS_MODE_64, Cs  # noqa: PLC0415

    cpu = machine.cpu
    decoder = Cs(CS_ARCH_X86, CS_MODE_64 if cpu.registers.in_64_bit_code else CS_MODE_32)
    start = _start(program, centre)
    before = _read(machine, start, centre - start)
    found = [Instruction(*one) for one in _decode(decoder, before, start)] if before else []
    yield from found
    yield from (Instruction(*one) for one in _decode(decoder, _read(machine, centre, _AFTER), centre))


def _decode(decoder: "object", data: bytes, address: int) -> Iterator[tuple[int, bytes, str, str]]:
    """What is no instruction is shown byte by byte."""
    at = 0
    while at < len(data):
        size = 0
        for start, size, mnemonic, operands in decoder.disasm_lite(data[at:], address + at):  # type: ignore[attr-defined]
            offset = start - address
            yield start, data[offset : offset + size], mnemonic, operands
            at = offset + size
        if at < len(data):
            if len(data) - at < _LONGEST and size:
                return  # cut at the end of what was read
            yield address + at, data[at : at + 1], ".byte", f"0x{data[at]:02x}"
            at += 1


def _start(program: Program, centre: int) -> int:
    """Where to begin, so that decoding comes to `centre`: a symbol, or the first address from which it does."""
    known = program.symbol_start(centre)
    if known is not None and centre - known <= 4 * _BEFORE:
        return known
    return centre


def _read(machine: Machine, address: int, length: int) -> bytes:
    """Bytes at a linear address, up to the first page that is not there."""
    data = b""
    while len(data) < length:
        at = address + len(data)
        found = machine.cpu.memory.look(at)
        if found is None:
            break
        offset = at % PAGE_SIZE
        count = min(length - len(data), PAGE_SIZE - offset)
        base = found.physical + offset
        if base + count > machine.ram.size:
            break
        data += machine.ram.read(base, count)
    return data
