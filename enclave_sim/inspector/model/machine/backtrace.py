"""The place of a guest in its module, as rows: its function, the call stack, the instructions around it."""

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

from enclave_sim.enclave.engine.contract import MAX_FRAMES, Backtrace, Frame
from enclave_sim.inspector.model.rows import Meaning, Part, Row, row, title
from enclave_sim.payload.wasm.disassembler import WasmInstruction, disassembly
from enclave_sim.payload.wasm.places import bodies_of, function_name, function_text, offset_text

_BEFORE, _AFTER = 6, 8
"""Instructions shown around the current one."""


def place_text(backtrace: Backtrace) -> str:
    """Describe the innermost function and the place in it."""
    module, frame = backtrace.module, backtrace.frames[0]
    return f"in {function_text(module, frame.function)} {offset_text(module, frame.function, frame.offset)}"


def backtrace_rows(backtrace: Backtrace, more: int | None = None) -> Iterator[Row]:
    """Yield the call stack, then the instructions. `more` outer calls are missing; None if that is not known."""
    yield title("call stack, the innermost first")
    for frame, same in groupby(backtrace.frames):
        yield _frame(backtrace.module, frame, len(list(same)))
    if more:
        yield row(f"  and {more:,} outer calls", Meaning.DIM)
    elif more is None and len(backtrace.frames) == MAX_FRAMES:
        yield row(f"  (there may be more: wasmtime reports {MAX_FRAMES})", Meaning.DIM)
    innermost = backtrace.frames[0]
    yield title(f"instructions of {function_text(backtrace.module, innermost.function)}")
    code = _disassembly(backtrace.module, innermost.function)
    here = max(0, bisect_right(code, innermost.offset or 0, key=lambda one: one.offset) - 1)  # at its entry, the first
    first = max(0, here - _BEFORE)
    shown = code[first : here + _AFTER + 1]
    least = min(one.depth for one in shown)
    for index, one in enumerate(shown, first):
        yield _instruction(backtrace.module, one, one.depth - least, is_here=index == here)


def _frame(module: bytes, frame: Frame, count: int) -> Row:
    parts: list[Part] = [
        (f"  {function_text(module, frame.function)}", Meaning.NAME),
        (f" {offset_text(module, frame.function, frame.offset)}", Meaning.PLAIN),
    ]
    if frame.offset is not None:
        parts.append((f"  module+{frame.offset:#x}", Meaning.DIM))
    if count > 1:
        parts.append((f"  {count} times", Meaning.PLAIN))
    return Row(tuple(parts))


def _instruction(module: bytes, one: WasmInstruction, depth: int, *, is_here: bool) -> Row:
    meaning = Meaning.HERE if is_here else Meaning.PLAIN
    parts: list[Part] = [
        (" > " if is_here else "   ", meaning),
        (f"{one.offset:06x} ", Meaning.DIM),
        (f"{'  ' * depth}{one.text}", meaning),
    ]
    if one.function is not None and function_name(module, one.function):
        parts.append((f"  {function_name(module, one.function)}", Meaning.NAME))
    return Row(tuple(parts))


@lru_cache(maxsize=8)
def _disassembly(module: bytes, function: int) -> tuple[WasmInstruction, ...]:
    return tuple(disassembly(module, bodies_of(module)[function]))
