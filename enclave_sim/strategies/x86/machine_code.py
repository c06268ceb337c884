"""Flat x86-64 guests for ring 3 (`engine="native"`): bytes without a plan, and instructions with a bad one."""

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

MOST_INSTRUCTIONS = 4096
_WASM = b"\0asm"
_RETURN = load(RAX, HostFunction.RETURNED) + INT_80
_DECISIONS = st.binary(min_size=16, max_size=16)
"""Of one template: which it is, and its operands."""


def disassemble(code: bytes, address: int) -> list[str]:
    """One line for each instruction at `address` and behind: address, bytes, text."""
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs  # noqa: PLC0415 - only a failing example is printed

    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.skipdata = True  # what is no instruction is shown as bytes
    return [
        f"{line.address:#x}: {line.bytes.hex():<20} {line.mnemonic} {line.op_str}".rstrip()
        for line in decoder.disasm(code, address)
    ]


@dataclass(frozen=True)
class InstructionSequence:
    """A flat guest that ends by the host call RETURNED, if it gets so far. It is printed as a disassembly."""

    steps: tuple[tuple[str, bytes], ...]
    """The templates it was made of, by name, each with its bytes."""

    @cached_property
    def code(self) -> bytes:
        """The flat binary."""
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
        """How Hypothesis prints a failing example."""
        printer.text(repr(self))  # type: ignore[attr-defined]


def sequence(tapes: Sequence[bytes], places: Places) -> InstructionSequence:
    """The sequence that these decisions make, one tape for each template."""
    steps = []
    for decisions in tapes:
        draw = Decisions(decisions, places)
        template = choose(draw)
        steps.append((template.name, template.encode(draw)))
    return InstructionSequence(tuple(steps))


def machine_code(*, min_size: int = 1, max_size: int = 256) -> st.SearchStrategy[bytes]:
    """Random bytes as a flat guest, `min_size` to `max_size` of them; at most what the staging area holds.

    Never what begins as a WebAssembly module does: engine `native` refuses that. Raises ConfigurationError for bounds
    that cannot be met.
    """
    check_sizes(min_size, max_size, region("staging").size)
    long = st.binary(min_size=max(min_size, min(max_size // 4, 64)), max_size=max_size)
    return (st.binary(min_size=min_size, max_size=max_size) | long).filter(lambda code: not code.startswith(_WASM))


def instruction_sequences(
    *, min_size: int = 0, max_size: int = 16, places: Places | None = None
) -> st.SearchStrategy[InstructionSequence]:
    """Flat guests of `min_size` to `max_size` templates, 4096 at most, biased to system instructions.

    A template is an instruction and what sets up its operands: privileged instructions, system calls, gates and far
    branches, flags and segment registers, memory and jumps at addresses of the kernel, of devices, of guard pages and
    non-canonical ones, host calls with valid and invalid numbers, stores over its own code, a stack anywhere and all
    that uses one, any opcode of any map. A guest may loop for ever: run it with a limit. `places` are where it runs, if
    not in the enclave. Raises ConfigurationError for bounds that cannot be met.
    """
    check_sizes(min_size, max_size, MOST_INSTRUCTIONS)
    tapes = st.lists(_DECISIONS, min_size=min_size, max_size=max_size)
    return tapes.map(lambda drawn: sequence(drawn, enclave_places() if places is None else places))
