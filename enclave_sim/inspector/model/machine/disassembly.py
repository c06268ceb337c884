"""Instructions disassembled by capstone, in the user's syntax."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from enclave_sim.enclave.kernel.mapped_memory import read
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.inspector.syntax import Syntax
from machine.machine import Machine

_BEFORE = 96
"""The number of bytes of code shown before the address."""
_AFTER = 640
_LONGEST = 15
_LONG = 64
_ASSEMBLY = (".s", ".asm", ".nasm")
_COMMENT = re.compile(r"/\*.*|//.*|[;#](?![a-z]).*")
_ATT = re.compile(r"[%$]\w")
_INTEL = re.compile(r"\[|\b([re]?([abcd]x|[sd]i|[sb]p)|[abcd][lh]|r\d+[dwb]?|[cdefgs]s|cr\d)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One line of a disassembly: an instruction, or an undecodable byte."""

    address: int
    data: bytes
    mnemonic: str
    operands: str

    @property
    def text(self) -> str:
        """Mnemonic and operands."""
        return f"{self.mnemonic:<7} {self.operands}"

    @property
    def jump(self) -> int | None:
        """The target of a direct jump or call, or None."""
        direct = self.mnemonic[0] == "j" or self.mnemonic.startswith(("call", "loop"))
        return int(self.operands, 16) if direct and self.operands.startswith("0x") else None


def source_text(program: Program, line: SourceLine, syntax: Syntax) -> str:
    """Return a source line; for assembly in another syntax only its comment, because the instruction follows."""
    text = program.lines.text(line)
    if not line.file.lower().endswith(_ASSEMBLY):
        return text
    code = _COMMENT.sub("", text)
    is_att = _ATT.search(code) is not None
    is_foreign = is_att if syntax is Syntax.INTEL else not is_att and _INTEL.search(code) is not None
    if not is_foreign:
        return text
    comment = _COMMENT.search(text)
    return comment[0] if comment is not None else ""


def disassembly(machine: Machine, program: Program, centre: int, syntax: Syntax = Syntax.INTEL) -> Iterator[CodeLine]:
    """Yield instructions, beginning before a linear address, so that one of them begins exactly there.

    They are decoded for the processor's mode at its position, and elsewhere in the program for the program's mode.
    """
    is_64 = machine.cpu.registers.in_64_bit_code
    if centre != machine.cpu.linear_rip and program.is_code(centre):
        is_64 = program.bits == _LONG
    decoder = _decoder(syntax, is_64=is_64)
    start = _start(program, centre)
    before = read(machine, start, centre - start)
    yield from _decode(decoder, before, start)
    yield from _decode(decoder, read(machine, centre, _AFTER), centre)


def program_code(machine: Machine, program: Program, syntax: Syntax) -> Iterator[CodeLine]:
    """Yield all mapped instructions of a program, by address. Decoding restarts at every symbol."""
    decoder = _decoder(syntax, is_64=program.bits == _LONG)
    for section in program.sections:
        if "x" not in section.rights:
            continue
        inner = sorted({at for at in program.symbols.values() if section.base < at < section.end})
        for start, end in pairwise([section.base, *inner, section.end]):
            yield from _decode(decoder, read(machine, start, end - start), start)


def _decoder(syntax: Syntax, *, is_64: bool) -> Any:
    from capstone import CS_ARCH_X86, CS_MODE_32, CS_MODE_64, CS_OPT_SYNTAX_ATT, Cs  # noqa: PLC0415

    decoder = Cs(CS_ARCH_X86, CS_MODE_64 if is_64 else CS_MODE_32)
    if syntax is Syntax.ATT:
        decoder.syntax = CS_OPT_SYNTAX_ATT
    return decoder


def _decode(decoder: Any, data: bytes, address: int) -> Iterator[CodeLine]:
    """Yield the instructions. Undecodable bytes are yielded one by one."""
    at = 0
    while at < len(data):
        size = 0
        for start, size, mnemonic, operands in decoder.disasm_lite(data[at:], address + at):
            offset = start - address
            yield CodeLine(start, data[offset : offset + size], mnemonic, operands)
            at = offset + size
        if at < len(data):
            if len(data) - at < _LONGEST and size:
                return  # an instruction is cut off at the end of the bytes read
            yield CodeLine(address + at, data[at : at + 1], ".byte", f"0x{data[at]:02x}")
            at += 1


def _start(program: Program, centre: int) -> int:
    """Return the start of decoding that reaches `centre`: the preceding symbol if it is near, else `centre`."""
    known = program.symbol_start(centre)
    if known is not None and centre - known <= 4 * _BEFORE:
        return known
    return centre
