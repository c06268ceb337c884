"""Disassembly around an address, with symbols and the kernel's source lines. Decoding is capstone's."""

from collections.abc import Iterator
from dataclasses import dataclass

from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning, Part, Row, Target, View, note
from enclave_sim.inspector.model.symbols import in_kernel_code, nearest_symbol, source_line_text, symbol
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.source_lines import SourceLine, source_line
from machine.ram import PAGE_SIZE

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
    cpu = moment.run.enclave.machine.cpu
    rip = cpu.linear_rip
    centre = rip if address is None else address
    points = {one.address for one in moment.run.breakpoints}
    rows: list[Row] = []
    here = 0
    line: SourceLine | None = None
    for one in disassembly(moment.run, centre):
        name = symbol(one.address)
        if name and "+" not in name:
            rows.append(Row(((f"{name}:", Meaning.TITLE),), Target(code=one.address)))
        at = source_line(one.address) if in_kernel_code(one.address) else None
        if at is not None and at != line:
            rows.append(Row(((f"  {at}  ", Meaning.DIM), (source_line_text(at.file, at.line), Meaning.NOTE))))
        line = at
        if one.address == centre:
            here = len(rows)
        rows.append(_row(one, is_rip=one.address == rip, has_point=one.address in points))
    if not rows:
        rows = [note(f"no code can be read at {centre:#x}: not mapped, or no RAM")]
    where = symbol(centre) or f"{centre:#x}"
    return View(tuple(rows), here, where if address is None else f"{where} (not RIP)")


def _row(one: Instruction, *, is_rip: bool, has_point: bool) -> Row:
    mark = f"{'B' if has_point else ' '}{'>' if is_rip else ' '}"
    meaning = Meaning.HERE if is_rip else Meaning.PLAIN
    parts: list[Part] = [
        (mark, Meaning.BAD if has_point else meaning),
        (f"{one.address:08x} ", Meaning.DIM),
        (f"{one.mnemonic:<7} {one.operands}", meaning),
    ]
    known = _named(one.operands)
    if known:
        parts.append((f"  {known}", Meaning.NAME))
    return Row(tuple(parts), Target(code=one.address, jump=_leads_to(one), memory=one.address, size=len(one.data)))


def _leads_to(one: Instruction) -> int | None:
    """Where a direct jump or call leads."""
    direct = one.mnemonic[0] == "j" or one.mnemonic in ("call", "loop", "jrcxz")
    return int(one.operands, 16) if direct and one.operands.startswith("0x") else None


def _named(operands: str) -> str:
    """The symbol of an address among the operands."""
    for word in operands.replace("[", " ").replace("]", " ").replace(",", " ").split():
        if word.startswith("0x") and len(word) > 6:
            try:
                return symbol(int(word, 16))
            except ValueError:
                continue
    return ""


def disassembly(session: Session, centre: int) -> Iterator[Instruction]:
    """Instructions from some bytes before a linear address on, so that one begins exactly there."""
    from capstone import CS_ARCH_X86, CS_MODE_32, CS_MODE_64, Cs  # noqa: PLC0415

    cpu = session.enclave.machine.cpu
    decoder = Cs(CS_ARCH_X86, CS_MODE_64 if cpu.registers.in_64_bit_code else CS_MODE_32)
    start = _start(centre)
    before = _read(session, start, centre - start)
    found = [Instruction(*one) for one in _decode(decoder, before, start)] if before else []
    yield from found
    yield from (Instruction(*one) for one in _decode(decoder, _read(session, centre, _AFTER), centre))


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


def _start(centre: int) -> int:
    """Where to begin, so that decoding comes to `centre`: a symbol, or the first address from which it does."""
    known = nearest_symbol(centre)
    if known is not None and centre - known <= 4 * _BEFORE:
        return known
    return centre


def _read(session: Session, address: int, length: int) -> bytes:
    """Bytes at a linear address, up to the first page that is not there."""
    machine = session.enclave.machine
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
