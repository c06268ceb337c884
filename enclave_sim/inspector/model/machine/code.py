"""Disassembly around an address, with symbols and the kernel's source lines. capstone decodes it."""

from collections.abc import Iterator
from dataclasses import dataclass

from enclave_sim.enclave.kernel.mapped_memory import read
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.inspector.model.machine.addresses import translation
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning, Part, Row, Target, View, note
from machine.machine import Machine

_BEFORE = 96
"""The number of bytes of code shown before the address."""
_AFTER = 640
_LONGEST = 15


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One line of a disassembly: an instruction, or a byte that is none."""

    address: int
    data: bytes
    mnemonic: str
    operands: str


def code_view(moment: Moment, address: int | None = None) -> View:
    """Return the code around a linear address; None for RIP."""
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
        rows = [note(f"no code can be read at {centre:#x}: it is not mapped to RAM")]
    where = program.symbol(centre) or f"{centre:#x}"
    return View(tuple(rows), here, where if address is None else f"{where} (not RIP)")


def _row(one: CodeLine, marks: str, known: str, memory: int | None) -> Row:
    meaning = Meaning.HERE if ">" in marks else Meaning.PLAIN
    parts: list[Part] = [
        (marks, Meaning.BAD if "B" in marks else meaning),
        (f"{one.address:08x} ", Meaning.DIM),
        (f"{one.mnemonic:<7} {one.operands}", meaning),
    ]
    if known:
        parts.append((f"  {known}", Meaning.NAME))
    return Row(tuple(parts), Target(code=one.address, jump=_leads_to(one), memory=memory, size=len(one.data)))


def _leads_to(one: CodeLine) -> int | None:
    """Return the target of a direct jump or call, or None."""
    direct = one.mnemonic[0] == "j" or one.mnemonic in ("call", "loop", "jrcxz")
    return int(one.operands, 16) if direct and one.operands.startswith("0x") else None


def _named(program: Program, operands: str) -> str:
    """Return the symbol of the first address among the operands, or an empty text."""
    for word in operands.replace("[", " ").replace("]", " ").replace(",", " ").split():
        if word.startswith("0x") and len(word) > 6:
            try:
                return program.symbol(int(word, 16))
            except ValueError:
                continue
    return ""


def disassembly(machine: Machine, program: Program, centre: int) -> Iterator[CodeLine]:
    """Yield instructions, beginning before a linear address, so that one of them begins exactly there."""
    from capstone import CS_ARCH_X86, CS_MODE_32, CS_MODE_64, Cs  # noqa: PLC0415

    cpu = machine.cpu
    decoder = Cs(CS_ARCH_X86, CS_MODE_64 if cpu.registers.in_64_bit_code else CS_MODE_32)
    start = _start(program, centre)
    before = read(machine, start, centre - start)
    found = [CodeLine(*one) for one in _decode(decoder, before, start)] if before else []
    yield from found
    yield from (CodeLine(*one) for one in _decode(decoder, read(machine, centre, _AFTER), centre))


def _decode(decoder: "object", data: bytes, address: int) -> Iterator[tuple[int, bytes, str, str]]:
    """Yield the instructions. Bytes that are none are yielded one by one."""
    at = 0
    while at < len(data):
        size = 0
        for start, size, mnemonic, operands in decoder.disasm_lite(data[at:], address + at):  # type: ignore[attr-defined]
            offset = start - address
            yield start, data[offset : offset + size], mnemonic, operands
            at = offset + size
        if at < len(data):
            if len(data) - at < _LONGEST and size:
                return  # an instruction is cut off at the end of the bytes that were read
            yield address + at, data[at : at + 1], ".byte", f"0x{data[at]:02x}"
            at += 1


def _start(program: Program, centre: int) -> int:
    """Return where decoding must begin to arrive at `centre`: the symbol before it if that is near, else `centre`."""
    known = program.symbol_start(centre)
    if known is not None and centre - known <= 4 * _BEFORE:
        return known
    return centre
