"""Disassembly around an address, with symbols and the kernel's source lines, and text search in the whole program."""

import re
from collections.abc import Iterable, Iterator

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.inspector.model.machine.addresses import translation
from enclave_sim.inspector.model.machine.disassembly import CodeLine, disassembly, program_code, source_text
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning, Part, Row, Target, View, note
from enclave_sim.inspector.syntax import Syntax

_ADDRESS = re.compile(r"0x[0-9a-f]{5,16}\b")
_CHECKPOINT = 500
"""Instructions between two polls of the cancellation."""


def code_view(moment: Moment, address: int | None = None, syntax: Syntax = Syntax.INTEL) -> View:
    """Return the code around a linear address; None for RIP."""
    cpu, program = moment.machine.cpu, moment.program
    rip = cpu.linear_rip
    centre = rip if address is None else address
    points = {one.address for one in moment.run.breakpoints}
    rows: list[Row] = []
    physical = translation(moment.machine)
    here = 0
    for one, heads in _with_heads(program, disassembly(moment.machine, program, centre, syntax), syntax):
        rows += heads
        if one.address == centre:
            here = len(rows)
        marks = f"{'B' if one.address in points else ' '}{'>' if one.address == rip else ' '}"
        rows.append(_row(one, marks, _named(program, one.operands), physical(one.address)))
    if not rows:
        rows = [note(f"no code can be read at {centre:#x}: it is not mapped to RAM")]
    where = program.symbol(centre) or f"{centre:#x}"
    return View(tuple(rows), here, where if address is None else f"{where} (not RIP)")


def find_code(moment: Moment, text: str, address: int, direction: int, syntax: Syntax) -> int | None:
    """Search the whole program: instructions, symbols and source lines.

    Args:
        moment: The moment.
        text: The text, in any case.
        address: The linear address at which the search begins; a match there comes last.
        direction: 1, or -1 for backwards.
        syntax: The syntax of the instructions.

    Returns:
        The address of the next match; None if there is none.

    Raises:
        Cancelled: The search was cancelled.
    """
    program, wanted = moment.program, text.lower()
    found = []
    code = program_code(moment.machine, program, syntax)
    for number, (one, heads) in enumerate(_with_heads(program, code, syntax)):
        if not number % _CHECKPOINT:
            moment.run.cancellation.poll()
        own = f"{one.address:08x} {one.text}  {_named(program, one.operands)}"
        if wanted in own.lower() or any(wanted in head.text.lower() for head in heads):
            found.append(one.address)
    return min(found, key=lambda at: (direction * (at - address) <= 0, direction * at), default=None)


def _with_heads(program: Program, code: Iterable[CodeLine], syntax: Syntax) -> Iterator[tuple[CodeLine, list[Row]]]:
    """Yield instructions, each with the rows before it: its symbol, and its source line if it changes."""
    line: SourceLine | None = None
    for one in code:
        heads = []
        name = program.symbol(one.address)
        if name and "+" not in name:
            heads.append(Row(((f"{name}:", Meaning.TITLE),), Target(code=one.address)))
        at = program.lines.at(one.address) if program.is_code(one.address) else None
        if at is not None and at != line:
            heads.append(Row(((f"  {at}  ", Meaning.DIM), (source_text(program, at, syntax), Meaning.NOTE))))
        line = at
        yield one, heads


def _row(one: CodeLine, marks: str, known: str, memory: int | None) -> Row:
    meaning = Meaning.HERE if ">" in marks else Meaning.PLAIN
    parts: list[Part] = [
        (marks, Meaning.BAD if "B" in marks else meaning),
        (f"{one.address:08x} ", Meaning.DIM),
        (one.text, meaning),
    ]
    if known:
        parts.append((f"  {known}", Meaning.NAME))
    return Row(tuple(parts), Target(code=one.address, jump=one.jump, memory=memory, size=len(one.data)))


def _named(program: Program, operands: str) -> str:
    """Return the symbol of the first address among the operands, or an empty string."""
    found = _ADDRESS.search(operands)
    return "" if found is None else program.symbol(int(found[0], 16))
