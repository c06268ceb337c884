"""Values, calls and the state of a WebAssembly guest (WebAssembly core specification, 4.2)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from enclave_sim.payload.wasm.disassembler import read_instruction
from enclave_sim.payload.wasm.places import function_text, offset_text

_FLOATS = {"f32": ("<I", "<f"), "f64": ("<Q", "<d")}
_WIDTHS = {"i32": 32, "i64": 64, "f32": 32, "f64": 64}


@dataclass(frozen=True, slots=True)
class WasmValue:
    """A value in a cell of 64 bits."""

    type: str | None
    """`i32`, `i64`, `f32` or `f64`; None for an operand, whose type is not stored."""
    cell: int
    """The content of the cell."""

    def __str__(self) -> str:
        if self.type is None:
            return f"{self.cell:#x}"
        bits = self.cell & (1 << _WIDTHS[self.type]) - 1
        if self.type in _FLOATS:
            raw, floating = _FLOATS[self.type]
            (number,) = struct.unpack(floating, struct.pack(raw, bits))
            return f"{self.type} {number!r}"
        return f"{self.type} {bits:#x}"


@dataclass(frozen=True, slots=True)
class WasmFrame:
    """A call of a function that has not returned."""

    function: int
    """Function index."""
    offset: int
    """Offset in the module: of the next instruction, or in an outer call, of its `call`."""
    locals: tuple[WasmValue, ...]
    operands: tuple[WasmValue, ...]
    """The operand stack of this call, the innermost last."""


@dataclass(frozen=True, slots=True)
class WasmState:
    """The state of a guest but for its linear memory."""

    module: bytes
    """The module to which the offsets refer, as it is staged, with its signatures."""
    depth: int
    """The number of active calls."""
    frames: tuple[WasmFrame, ...]
    """The active calls, the innermost first. Of a deep stack the outermost are missing."""
    globals: tuple[WasmValue, ...]
    waits: bool
    """True in a host call, of which the frame is the caller."""
    between: bool
    """True if the next x86-64 instruction begins a WebAssembly instruction; False within one."""

    @property
    def instruction(self) -> str:
        """The text of the instruction at the innermost offset."""
        name, _kind, operands, _end = read_instruction(self.module, self.frames[0].offset)
        return f"{name} {operands}".rstrip()

    def lines(self) -> Iterator[str]:
        """Yield the state as lines of text.

        Yields:
            The instruction, the innermost call with its locals and operands, the globals, and the outer calls.
        """
        inner = self.frames[0]
        verb = "waits for the answer to" if self.waits else "next" if self.between else "executes"
        yield f"{self._place(inner)}: {verb} {self.instruction}"
        yield f"locals    {_row(inner.locals)}"
        yield f"operands  {_row(inner.operands)}"
        yield f"globals   {_row(self.globals)}"
        for outer in self.frames[1:]:
            yield f"called by {self._place(outer)}"
        if len(self.frames) < self.depth:
            yield f"and {self.depth - len(self.frames):,} outer calls"

    def _place(self, frame: WasmFrame) -> str:
        where = offset_text(self.module, frame.function, frame.offset)
        return f"{function_text(self.module, frame.function)} {where}"


_MOST = 40


def _row(values: tuple[WasmValue, ...]) -> str:
    shown = ", ".join(map(str, values[-_MOST:])) or "none"
    return shown if len(values) <= _MOST else f"... {shown}"
