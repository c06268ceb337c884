"""Generation of MEMORY.COPY and MEMORY.FILL, which take one unit of fuel per byte."""

from enclave_sim.enclave.engine.profile import PAGE_BYTES
from enclave_sim.strategies.wasm.builder import MAX_COST, FunctionBuilder
from enclave_sim.strategies.wasm.expressions import DEPTH, expression, i32_const, masked, unguarded
from enclave_sim.strategies.wasm.instructions import I32, SourceInstruction

_LENGTH = 0x3F
"""The maximum number of bytes written by one of them."""
_MISTAKEN = 192
"""Decisions from here on make a mistake, if traps are allowed."""
_COPY, _FILL, _NOP = (SourceInstruction(name) for name in ("memory.copy", "memory.fill", "nop"))


def bulk_memory(body: FunctionBuilder) -> None:
    """Write a statement that copies or fills a part of the memory, within `MAX_COST`."""
    if body.cost + _LENGTH > MAX_COST:
        body.out.append(_NOP)
        return
    copies = body.draw() & 1
    length = None
    if not unguarded(body, _MISTAKEN):
        _place(body)
    else:
        length = _mistake(body)
    if copies:
        _place(body)
    else:
        expression(body, I32, DEPTH - 1)
    if length is None:
        masked(body, _LENGTH, DEPTH - 1)
    else:
        body.out.append(i32_const(length))
    body.out.append(_COPY if copies else _FILL)
    body.cost_of_calls += _LENGTH


def _place(body: FunctionBuilder) -> None:
    """Write an address in the lower half of the memory."""
    half = 1 << ((body.module.pages() * PAGE_BYTES).bit_length() - 2)
    masked(body, half - 1, DEPTH - 1)


def _mistake(body: FunctionBuilder) -> int | None:
    """Write an address near the end of the memory, or beyond it. Return the length to use, if it matters."""
    size = body.module.pages() * PAGE_BYTES
    choice = body.draw()
    if choice % 3 == 0:  # in bounds or not, depending on the length
        body.out.append(i32_const(size - choice // 4))
        return None
    if choice % 3 == 1:  # no byte is in bounds, and none is written
        body.out.append(i32_const(size + 1 + choice))
        return 0
    _place(body)
    return -1 - choice
