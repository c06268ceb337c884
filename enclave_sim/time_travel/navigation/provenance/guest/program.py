"""A module of a guest, decoded for execution (WebAssembly core specification, chapter 5)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from enclave_sim.payload.wasm.disassembler import read_instruction
from enclave_sim.payload.wasm.opcodes import EMPTY_BLOCK, TYPES, Immediate, natural_alignment
from enclave_sim.payload.wasm.sections import Body, SectionId, bodies, decode_u32, sections

_FUNCTION, _GLOBAL = 0, 3
_ENTRY = b"_start"


class UnsupportedError(Exception):
    """The module uses something that is not repeated here."""


@dataclass(frozen=True, slots=True)
class Type:
    """A function type: numbers of parameters and results, and their value types."""

    parameters: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(slots=True)
class Operation:
    """An instruction with its operands as numbers."""

    name: str
    offset: int
    """In the module."""
    numbers: tuple[int, ...]
    text: str
    takes: int = 0
    """Of a block, the number of its parameters."""
    gives: int = 0
    """Of a block, the number of its results."""
    end: int = 0
    """Of a block, the index of its `end`."""
    otherwise: int = 0
    """Of an `if`, the index of its `else`, or of its `end`. Of an `else`, that of the `end`."""
    size: int = 0
    """Of a load or store, the number of bytes."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function with its body."""

    index: int
    type: Type
    locals: tuple[str, ...]
    """The types of the locals that are not parameters."""
    code: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A data segment."""

    active: bool
    offset: int
    """The address in linear memory, of an active one."""
    content: bytes
    at: int
    """The offset of the content in the module."""


@dataclass(slots=True)
class Program:
    """A module."""

    types: list[Type] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    """The names of the imported functions."""
    kinds: list[int] = field(default_factory=list)
    """The type index of each function, the imported ones first."""
    functions: dict[int, Function] = field(default_factory=dict)
    globals: list[tuple[str, int, int]] = field(default_factory=list)
    """Type, initial value, and offset in the module, of each global."""
    table: dict[int, int] = field(default_factory=dict)
    """The function of each initialised element."""
    segments: list[Segment] = field(default_factory=list)
    entry: int = 0


@lru_cache(maxsize=8)
def program_of(module: bytes) -> Program:
    """Decode a valid module. Raises UnsupportedError."""
    made = Program()
    for part in sections(module):
        at = part.offset + part.payload_at
        reader = _READERS.get(part.id)
        if reader is not None:
            reader(made, module, at)
    for body in bodies(module):
        kind = made.types[made.kinds[body.function]]
        made.functions[body.function] = _function(made, module, body, kind)
    return made


def _types(made: Program, module: bytes, at: int) -> None:
    count, at = decode_u32(module, at)
    for _ in range(count):
        parameters, at = _value_types(module, at + 1)
        results, at = _value_types(module, at)
        made.types.append(Type(parameters, results))


def _value_types(module: bytes, at: int) -> tuple[tuple[str, ...], int]:
    count, at = decode_u32(module, at)
    return tuple(_type(byte) for byte in module[at : at + count]), at + count


def _type(byte: int) -> str:
    found = TYPES.get(byte - 0x80)
    if found not in ("i32", "i64", "f32", "f64"):
        raise UnsupportedError(f"a value of type {found or hex(byte)}")
    return found


def _imports(made: Program, module: bytes, at: int) -> None:
    count, at = decode_u32(module, at)
    for _ in range(count):
        size, at = decode_u32(module, at)
        size, at = decode_u32(module, at + size)
        name, at = module[at : at + size].decode(), at + size
        if module[at] != _FUNCTION:
            raise UnsupportedError("an import that is not a function")
        kind, at = decode_u32(module, at + 1)
        made.imports.append(name)
        made.kinds.append(kind)


def _functions(made: Program, module: bytes, at: int) -> None:
    count, at = decode_u32(module, at)
    for _ in range(count):
        kind, at = decode_u32(module, at)
        made.kinds.append(kind)


def _globals(made: Program, module: bytes, at: int) -> None:
    count, at = decode_u32(module, at)
    for _ in range(count):
        kind = _type(module[at])
        value, offset, at = _constant(made, module, at + 2)
        made.globals.append((kind, value, offset))


def _constant(made: Program, module: bytes, at: int) -> tuple[int, int, int]:
    """Return the value of a constant expression, its offset, and the offset after it."""
    name, kind, operands, end = read_instruction(module, at)
    if name == "global.get":
        value = made.globals[int(operands)][1]
    elif name in ("i32.const", "i64.const"):
        value = int(operands) & (1 << (32 if name[1] == "3" else 64)) - 1
    elif kind in (Immediate.F32, Immediate.F64):
        value = int.from_bytes(module[at + 1 : end], "little")
    else:
        raise UnsupportedError(f"{name} in a constant expression")
    if read_instruction(module, end)[0] != "end":
        raise UnsupportedError("a constant expression of several instructions")
    return value, at, end + 1


def _exports(made: Program, module: bytes, at: int) -> None:
    count, at = decode_u32(module, at)
    for _ in range(count):
        size, at = decode_u32(module, at)
        name, at = module[at : at + size], at + size
        kind = module[at]
        index, at = decode_u32(module, at + 1)
        if (name, kind) == (_ENTRY, _FUNCTION):
            made.entry = index


def _elements(made: Program, module: bytes, at: int) -> None:
    count, at = decode_u32(module, at)
    for _ in range(count):
        form, at = decode_u32(module, at)
        if form:
            raise UnsupportedError("an element segment of another form")
        first, _, at = _constant(made, module, at)
        size, at = decode_u32(module, at)
        for index in range(size):
            made.table[first + index], at = decode_u32(module, at)


def _data(made: Program, module: bytes, at: int) -> None:
    count, at = decode_u32(module, at)
    for _ in range(count):
        form, at = decode_u32(module, at)
        offset = 0
        if form == 2:
            _, at = decode_u32(module, at)
        if form != 1:
            offset, _, at = _constant(made, module, at)
        size, at = decode_u32(module, at)
        made.segments.append(Segment(form != 1, offset, module[at : at + size], at))
        at += size


_READERS: dict[int, Callable[[Program, bytes, int], None]] = {
    SectionId.TYPE: _types, SectionId.IMPORT: _imports, SectionId.FUNCTION: _functions, SectionId.GLOBAL: _globals,
    SectionId.EXPORT: _exports, SectionId.ELEMENT: _elements, SectionId.DATA: _data,
}  # fmt: skip


def _function(made: Program, module: bytes, body: Body, kind: Type) -> Function:
    groups, at = decode_u32(module, body.start)
    others: list[str] = []
    for _ in range(groups):
        count, at = decode_u32(module, at)
        others += [_type(module[at])] * count
        at += 1
    code: list[Operation] = []
    blocks: list[int] = []
    while at < body.end:
        name, immediate, operands, end = read_instruction(module, at)
        one = Operation(name, at, _numbers(module, at, end, immediate, operands), f"{name} {operands}".strip())
        index = len(code)
        if immediate is Immediate.BLOCK_TYPE:
            one.takes, one.gives = _block(made, module, at + 1)
            blocks.append(index)
        elif name == "else":
            code[blocks[-1]].otherwise = index
        elif name == "end" and blocks:
            begun = code[blocks.pop()]
            begun.end = index
            if begun.otherwise:
                code[begun.otherwise].otherwise = index
            else:
                begun.otherwise = index
        if immediate is Immediate.MEMORY_ARGUMENT:
            one.size = natural_alignment(name)
        code.append(one)
        at = end
    return Function(body.function, kind, tuple(others), tuple(code))


def _block(made: Program, module: bytes, at: int) -> tuple[int, int]:
    value = module[at]
    if value - 0x80 == EMPTY_BLOCK:
        return 0, 0
    if value - 0x80 in TYPES:
        return 0, 1
    index, _ = decode_u32(module, at)
    kind = made.types[index]
    return len(kind.parameters), len(kind.results)


def _numbers(module: bytes, at: int, end: int, immediate: Immediate, operands: str) -> tuple[int, ...]:
    """Return the immediates of an instruction as numbers: of a load or store its constant offset."""
    if immediate in (Immediate.F32, Immediate.F64):
        return (int.from_bytes(module[at + 1 : end], "little"),)
    if immediate is Immediate.MEMORY_ARGUMENT:
        offset = next((word for word in operands.split() if word.startswith("offset=")), "offset=0")
        return (int(offset.partition("=")[2]),)
    if immediate is Immediate.TYPE_AND_TABLE:
        kind, at = decode_u32(module, at + 1)
        return (kind,)
    if immediate in (Immediate.BLOCK_TYPE, Immediate.VALUE_TYPES, Immediate.HEAP_TYPE, Immediate.V128):
        return ()
    return tuple(int(word) for word in operands.split() if word.lstrip("-").isdigit())
