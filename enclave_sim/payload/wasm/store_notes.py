"""Rewrites a module so that it notes its last store to a range of its memory.

Code inserted after every instruction that writes memory compares the written bytes with the range, and keeps the
instruction's offset in a global. The module computes the same results, and calls the same functions in the same order.
Another global counts the fuel of the inserted code, so that the original's fuel is known.

WebAssembly core specification, 5.4.7 (memory instructions), 5.5.9 (globals), 5.5.10 (exports) and 5.5.13 (code).
"""

import msgspec

from enclave_sim.payload.wasm.disassembler import first_instruction, read_instruction
from enclave_sim.payload.wasm.opcodes import VECTOR_PREFIX, natural_alignment
from enclave_sim.payload.wasm.sections import Body, SectionId, assemble, bodies, decode_u32, encode_u32, sections

_TYPES = {"i32": 0x7F, "i64": 0x7E, "f32": 0x7D, "f64": 0x7C, "v128": 0x7B}
_ZEROS = {
    "i32": b"\x41\0", "i64": b"\x42\0", "f32": b"\x43" + bytes(4), "f64": b"\x44" + bytes(8),
    "v128": b"\xfd\x0c" + bytes(16),
}  # fmt: skip
_BULK = ("memory.init", "memory.copy", "memory.fill")
_ORDER = (
    *(SectionId.TYPE, SectionId.IMPORT, SectionId.FUNCTION, SectionId.TABLE, SectionId.MEMORY, SectionId.GLOBAL),
    *(SectionId.EXPORT, SectionId.START, SectionId.ELEMENT, SectionId.DATA_COUNT, SectionId.CODE, SectionId.DATA),
)
_GLOBAL_KIND = 3
_EXTEND, _ADD, _LESS, _GREATER, _IS_ZERO = b"\xad", b"\x7c", b"\x54", b"\x56", b"\x50"
"""Instructions on i64: extend_i32_u, add, lt_u, gt_u, eqz."""
_NOT, _AND, _SELECT, _END = b"\x45", b"\x71", b"\x1b", b"\x0b"
"""On i32: eqz, and, select; and the end of an expression."""


class NotingModule(msgspec.Struct, frozen=True):
    """A module that notes its stores, and the export names of its note globals."""

    module: bytes
    start: str
    """The first watched byte (i64)."""
    end: str
    """The first byte after the range (i64)."""
    writer: str
    """The offset, in the original module, of the last instruction that wrote any of these bytes; 0 for none (i32)."""
    fuel: str
    """The fuel spent by the inserted code (i64)."""


def noting(module: bytes) -> NotingModule:
    """Return a module that behaves like another one, and notes its stores.

    Args:
        module: A valid module that imports only functions, and has at most one memory.

    Returns:
        The module. It has no custom sections.

    Raises:
        MalformedModule: The module has an instruction that no guest may have.
    """
    return _Rewriting(module).made()


class _Rewriting:
    def __init__(self, module: bytes) -> None:
        self._old = module
        self._parts = {part.id: part for part in sections(module) if part.id != SectionId.CUSTOM}
        self._bodies = [(body, _instructions(module, body)) for body in bodies(module)]
        vector = any(name.startswith("v128.store") for _, code in self._bodies for name, _, _ in code)
        values = ("i32", "i64", "f32", "f64", *(("v128",) if vector else ()))
        # Globals hold the operands while the instruction is executed and noted. No other code runs meanwhile.
        self._kinds = ("i64", "i64", "i32", "i64", "i32", "i32", *values)
        first = self._count(SectionId.GLOBAL)
        indices = range(first, first + len(self._kinds))
        self._start, self._end, self._writer, self._fuel, self._address, self._length, *rest = indices
        self._values = dict(zip(values, rest, strict=True))

    def _count(self, kind: SectionId) -> int:
        return decode_u32(self._parts[kind].payload, 0)[0] if kind in self._parts else 0

    def made(self) -> NotingModule:
        names = [f"{self._prefix()}{index}" for index in range(4)]
        exports = [
            encode_u32(len(name)) + name.encode() + bytes([_GLOBAL_KIND]) + encode_u32(self._start + index)
            for index, name in enumerate(names)
        ]
        code = [self._body(body, instructions) for body, instructions in self._bodies]
        parts: dict[int, bytes] = {kind: part.raw for kind, part in self._parts.items()}
        parts[SectionId.GLOBAL] = self._added(SectionId.GLOBAL, [_global(kind) for kind in self._kinds])
        parts[SectionId.EXPORT] = self._added(SectionId.EXPORT, exports)
        if code:
            parts[SectionId.CODE] = _section(SectionId.CODE, encode_u32(len(code)) + b"".join(code))
        return NotingModule(assemble(parts[kind] for kind in _ORDER if kind in parts), *names)

    def _prefix(self) -> str:
        """Return a prefix for our names that no export of the module has."""
        found = "note"
        while found.encode() in self._old:
            found += "'"
        return found

    def _added(self, kind: SectionId, items: list[bytes]) -> bytes:
        """Return a section with appended items."""
        old = self._parts.get(kind)
        count, at = (0, 0) if old is None else decode_u32(old.payload, 0)
        rest = b"" if old is None else old.payload[at:]
        return _section(kind, encode_u32(count + len(items)) + rest + b"".join(items))

    def _body(self, body: Body, instructions: list[tuple[str, int, int]]) -> bytes:
        code = [self._old[body.start : instructions[0][1]], *(self._instruction(*one) for one in instructions)]
        whole = b"".join(code)
        return encode_u32(len(whole)) + whole

    def _instruction(self, name: str, at: int, end: int) -> bytes:
        raw = self._old[at:end]
        if name in _BULK:
            value, size = self._values["i32"], [_get(self._length), _EXTEND]
            keep = [_set(self._length), _set(value), _set(self._address)]
            return self._noted(at, keep, [_get(self._address), _get(value), _get(self._length), raw], 0, size)
        if ".store" not in name:
            return raw
        value, size = self._values[name.partition(".")[0]], [_i64(natural_alignment(name))]
        keep = [_set(value), _set(self._address)]
        return self._noted(at, keep, [_get(self._address), _get(value), raw], self._offset(at), size)

    def _offset(self, at: int) -> int:
        """Return the constant offset of a store, which follows its opcode and alignment."""
        _, at = decode_u32(self._old, at + 1) if self._old[at] == VECTOR_PREFIX else (0, at + 1)
        _, at = decode_u32(self._old, at)
        return decode_u32(self._old, at)[0]

    def _noted(self, at: int, keep: list[bytes], again: list[bytes], offset: int, size: list[bytes]) -> bytes:
        """Return an instruction with its note. `keep` saves its operands, `again` loads them and executes it."""
        first = [_get(self._address), _EXTEND, _i64(offset), _ADD]
        note = [
            *(_i32(at), _get(self._writer)),
            *(*first, _get(self._end), _LESS),
            *(*first, *size, _ADD, _get(self._start), _GREATER, _AND),
            *(*size, _IS_ZERO, _NOT, _AND),  # a bulk instruction may write nothing
            *(_SELECT, _set(self._writer)),
        ]
        # Before and after, because a guest may yield in a bulk instruction.
        return b"".join([*keep, *self._spent(len(keep) + len(again) - 1), *again, *note, *self._spent(len(note))])

    def _spent(self, count: int) -> list[bytes]:
        """Return code that counts its own fuel and that of `count` other instructions, one unit each."""
        return [_get(self._fuel), _i64(count + 4), _ADD, _set(self._fuel)]


def _instructions(module: bytes, body: Body) -> list[tuple[str, int, int]]:
    """Return the name, offset and end of each instruction of a function."""
    found, at = [], first_instruction(module, body)
    while at < body.end:
        name, _, _, end = read_instruction(module, at)
        found.append((name, at, end))
        at = end
    return found


def _global(kind: str) -> bytes:
    return bytes([_TYPES[kind], 1]) + _ZEROS[kind] + _END


def _section(kind: SectionId, payload: bytes) -> bytes:
    return bytes([kind]) + encode_u32(len(payload)) + payload


def _get(index: int) -> bytes:
    return b"\x23" + encode_u32(index)


def _set(index: int) -> bytes:
    return b"\x24" + encode_u32(index)


def _i32(value: int) -> bytes:
    return b"\x41" + _signed(value)


def _i64(value: int) -> bytes:
    return b"\x42" + _signed(value)


def _signed(value: int) -> bytes:
    """Return the signed LEB128 encoding of a nonnegative integer."""
    encoded = bytearray()
    while value > 0x3F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
