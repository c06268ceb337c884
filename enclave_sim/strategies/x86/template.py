"""Instruction templates, and their shared encoders.

A template makes one instruction, possibly after a few that set up its operands. Its decisions are the operands.
"""

from collections.abc import Callable
from typing import NamedTuple

from enclave_sim.strategies.x86.encoding import RAX, RCX, load, memory
from enclave_sim.strategies.x86.operands import Decisions, address, selector

Encode = Callable[[Decisions], bytes]
"""Encodes an instruction, with operands made from decisions."""


class Template(NamedTuple):
    """A kind of instruction: its name, and its encoder."""

    name: str
    encode: Encode


def fixed(code: bytes) -> Encode:
    """Return an encoder of fixed bytes, without operands."""
    return lambda _draw: code


def far_pointer(draw: Decisions, *, wide: bool) -> bytes:
    """Encode stores of a far pointer to memory. RAX then points to it."""
    place = draw.places.scratch
    offset = load(RCX, address(draw)) + load(RAX, place) + memory(b"\x89", RCX, RAX)
    chosen = load(RCX, selector(draw)) + load(RAX, place + (8 if wide else 4))
    return offset + chosen + memory(b"\x89", RCX, RAX, wide=False) + load(RAX, place)
