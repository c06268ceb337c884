"""Flat x86-64 guests for ring 3 (`engine="native"`): random bytes, and hostile instructions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st

from enclave_sim.memory_map import region
from enclave_sim.specification import HostFunction
from enclave_sim.strategies.bounds import check_sizes
from enclave_sim.strategies.x86.encoding import INT_80, RAX, load
from enclave_sim.strategies.x86.operands import Decisions, Places, enclave_places
from enclave_sim.strategies.x86.templates import choose

MAX_INSTRUCTIONS = 4096
_WASM = b"\0asm"
_RETURN = load(RAX, HostFunction.RETURNED) + INT_80
_DECISIONS = st.binary(min_size=16, max_size=16)
"""The decisions of one template: its choice and its operands."""


def disassemble(code: bytes, address: int) -> list[str]:
    """Return one line per instruction, the first at `address`: address, bytes, text."""
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs  # noqa: PLC0415 - only a failing example is printed

    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.skipdata = True  # show undefined opcodes as bytes
    return [
        f"{line.address:#x}: {line.bytes.hex():<20} {line.mnemonic} {line.op_str}".rstrip()
        for line in decoder.disasm(code, address)
    ]


@dataclass(frozen=True)
class InstructionSequence:
    """A flat guest that ends with the host call RETURNED, if it gets that far. Its repr is the disassembly."""

    steps: tuple[tuple[str, bytes], ...]
    """The names of its templates, each with its bytes."""

    @cached_property
    def code(self) -> bytes:
        """The flat binary, for `engine="native"`."""
        return b"".join(code for _, code in self.steps) + _RETURN

    @cached_property
    def text(self) -> str:
        """The disassembly, each template under its name."""
        lines, at = [], region("staging").base
        for name, code in (*self.steps, ("return", _RETURN)):
            lines += [f"; {name}", *(f"  {line}" for line in disassemble(code, at))]
            at += len(code)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"InstructionSequence\n{self.text}"

    def _repr_pretty_(self, printer: object, _cycle: bool) -> None:
        """Print a failing example for Hypothesis."""
        printer.text(repr(self))  # type: ignore[attr-defined]


def sequence(tapes: Sequence[bytes], places: Places) -> InstructionSequence:
    """Return the sequence for these decisions, one decision tape per template."""
    steps = []
    for decisions in tapes:
        draw = Decisions(decisions, places)
        template = choose(draw)
        steps.append((template.name, template.encode(draw)))
    return InstructionSequence(tuple(steps))


def machine_code(*, min_size: int = 1, max_size: int = 256) -> st.SearchStrategy[bytes]:
    """Draw random bytes as a flat guest. None begins like a WebAssembly module, which the engine `native` refuses.

    Args:
        min_size: The minimum number of bytes.
        max_size: The maximum number of bytes, at most the 2 MiB of the staging area.

    Returns:
        A strategy for flat binaries.

    Raises:
        ConfigurationError: The bounds cannot be met.
    """
    check_sizes(min_size, max_size, region("staging").size)
    long = st.binary(min_size=max(min_size, min(max_size // 4, 64)), max_size=max_size)
    return (st.binary(min_size=min_size, max_size=max_size) | long).filter(lambda code: not code.startswith(_WASM))


def instruction_sequences(
    *, min_size: int = 0, max_size: int = 16, places: Places | None = None
) -> st.SearchStrategy[InstructionSequence]:
    """Draw flat guests of hostile instructions, biased to system instructions.

    A guest is a sequence of templates: one instruction each, with code that sets up its operands. There are
    privileged instructions, system calls, gates and far branches, flags and segment registers, accesses and jumps to
    the kernel, devices, guard pages and non-canonical addresses, host calls with valid and invalid numbers, stores over
    its own code, a stack at any address, and any opcode of any map. A guest may loop forever: run it with a limit.

    Args:
        min_size: The minimum number of templates.
        max_size: The maximum number of templates, at most 4096.
        places: The addresses and selectors of its environment; None for a guest of the enclave.

    Returns:
        A strategy for guests; `code` is the flat binary of one.

    Raises:
        ConfigurationError: The bounds cannot be met.
    """
    check_sizes(min_size, max_size, MAX_INSTRUCTIONS)
    tapes = st.lists(_DECISIONS, min_size=min_size, max_size=max_size)
    return tapes.map(lambda drawn: sequence(drawn, enclave_places() if places is None else places))
