"""The code of a program that belongs to lines of its sources: instructions, branches and their targets."""

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.errors import ConfigurationError
from machine.processor.code_coverage import LARGEST

_PREFIXES = frozenset(["bnd", "notrack", "lock", "rep", "repe", "repne", "data16"])
_RETURNS = ("ret", "iret", "sysret", "sysexit")


class Kind(Enum):
    """Effects of instructions on the flow of control."""

    PLAIN = "plain"
    CONDITIONAL = "conditional"
    """It goes to its target or to the next instruction: Jcc, JRCXZ, LOOP."""
    DIRECT = "direct"
    """JMP or CALL to one target."""
    INDIRECT = "indirect"
    """JMP or CALL to a computed target."""
    RETURN = "return"
    """RET, IRET, SYSRET, SYSEXIT."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction of the code."""

    address: int
    end: int
    """The address after it."""
    kind: Kind
    target: int | None
    """Of a conditional or a direct one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Code of one line, without a gap."""

    where: range
    path: Path
    """The file, as the compiler knew it."""
    line: int
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Code:
    """All code that belongs to lines."""

    where: range
    """The addresses from the first to the last instruction."""
    pieces: tuple[Piece, ...]
    """By address, in order."""
    functions: dict[int, str]
    """Names by the address of the first instruction, in order."""


@lru_cache(maxsize=4)
def code_of(image: bytes, bits: int) -> tuple[range, tuple[Piece, ...]]:
    """Return the code that belongs to lines.

    Args:
        image: The ELF image.
        bits: Its word size: 32 or 64.

    Returns:
        All addresses, and the pieces in order.

    Raises:
        ConfigurationError: The image has no line table.
    """
    from enclave_sim.enclave.kernel.source_lines import SourceLines  # noqa: PLC0415

    found = list(SourceLines(image, lambda _file, _path: "").ranges)
    sections = list(_sections(image))
    found = [one for one in found if any(one[0].start in where for where, _ in sections)]
    if not found:
        raise ConfigurationError("the kernel has no line table: compile it with -g")
    nearest = found[0][0].start
    found = [one for one in found if one[0].stop - nearest <= LARGEST]
    decoders = _Decoders(bits)
    pieces = []
    for where, path, line in found:
        content = next(content[where.start - at.start :][: len(where)] for at, content in sections if where.start in at)
        pieces.append(Piece(where, path, line, tuple(decoders.decode(where.start, content))))
    return range(nearest, found[-1][0].stop), tuple(pieces)


def code(program: Program) -> Code:
    """Return the code of a program. Raises ConfigurationError if it has no line table."""
    where, pieces = code_of(program.lines.image, program.bits)
    starts = {one.address for piece in pieces for one in piece.instructions}
    named = sorted((address, name) for name, address in program.symbols.items() if address in starts)
    return Code(where, pieces, {at: next(names)[1] for at, names in groupby(named, lambda one: one[0])})


def _sections(image: bytes) -> Iterator[tuple[range, bytes]]:
    """Yield addresses and content of the sections with code."""
    from elftools.elf.constants import SH_FLAGS  # noqa: PLC0415 - takes a third of the time to import an enclave
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    with suppress(Exception):  # pyelftools raises anything for damaged files; what was read counts
        for one in ELFFile(io.BytesIO(image)).iter_sections():
            if one["sh_flags"] & SH_FLAGS.SHF_EXECINSTR and one["sh_size"] and one["sh_type"] != "SHT_NOBITS":
                yield range(one["sh_addr"], one["sh_addr"] + one["sh_size"]), one.data()


class _Decoders:
    """Decoders of 32-bit and 64-bit code. A 64-bit kernel starts in 32-bit code."""

    def __init__(self, bits: int) -> None:
        from capstone import CS_ARCH_X86, CS_MODE_32, CS_MODE_64, Cs  # noqa: PLC0415 - slow to import

        short, long = Cs(CS_ARCH_X86, CS_MODE_32), Cs(CS_ARCH_X86, CS_MODE_64)
        self._decoders: tuple[Any, ...] = (long, short) if bits == 64 else (short,)

    def decode(self, address: int, content: bytes) -> list[Instruction]:
        """Return the instructions of a piece, in the mode in which the last one ends with it."""
        decoded: list[Instruction] = []
        for decoder in self._decoders:
            decoded = [_instruction(*one) for one in decoder.disasm_lite(content, address)]
            if decoded and decoded[-1].end == address + len(content):
                break
        return decoded


def _instruction(address: int, size: int, mnemonic: str, operands: str) -> Instruction:
    word = next((word for word in mnemonic.split() if word not in _PREFIXES), "")
    target = int(operands, 16) if operands.startswith("0x") and not {",", ":"} & set(operands) else None
    kind = Kind.PLAIN
    if word in ("jmp", "call"):
        kind = Kind.INDIRECT if target is None else Kind.DIRECT
    elif word.startswith(("j", "loop")):
        kind = Kind.CONDITIONAL
    elif word.startswith(_RETURNS):
        kind = Kind.RETURN
    return Instruction(address, address + size, kind, target if kind in (Kind.CONDITIONAL, Kind.DIRECT) else None)
