"""The encoder of modules in the binary format (WebAssembly core specification, 5)."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import groupby

from enclave_sim.enclave.engine.profile import ENTRY, NAMESPACE
from enclave_sim.payload.wasm.opcodes import Immediate
from enclave_sim.payload.wasm.sections import MODULE_HEADER, SectionId, encode_u32
from enclave_sim.strategies.wasm.instructions import ENCODINGS, TYPE_CODES, SourceInstruction
from enclave_sim.strategies.wasm.module import Function, FunctionType, ModuleSource

FUNCREF = b"\x70"
END = b"\x0b"


def encode_signed(value: int) -> bytes:
    """Return the shortest signed LEB128 encoding (5.2.2)."""
    encoded = bytearray()
    while not -64 <= value < 64:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value & 0x7F)
    return bytes(encoded)


def _labels(values: tuple[int, ...]) -> bytes:
    """Encode the labels of BR_TABLE: the count does not include the default one."""
    return encode_u32(len(values) - 1) + b"".join(map(encode_u32, values))


_IMMEDIATES: dict[Immediate, Callable[[tuple[int, ...]], bytes]] = {
    Immediate.NOTHING: lambda _values: b"",
    Immediate.BLOCK_TYPE: lambda values: encode_signed(values[0]),
    Immediate.INDEX: lambda values: encode_u32(values[0]),
    Immediate.FUNCTION: lambda values: encode_u32(values[0]),
    Immediate.LABELS: _labels,
    Immediate.TYPE_AND_TABLE: lambda values: encode_u32(values[0]) + b"\0",
    Immediate.TWO_MEMORIES: lambda _values: b"\0\0",
    Immediate.MEMORY_ARGUMENT: lambda values: b"".join(map(encode_u32, values)),
    Immediate.MEMORY: lambda _values: b"\0",
    Immediate.I32: lambda values: encode_signed(values[0]),
    Immediate.I64: lambda values: encode_signed(values[0]),
    Immediate.F32: lambda values: values[0].to_bytes(4, "little"),
    Immediate.F64: lambda values: values[0].to_bytes(8, "little"),
}


def padded_u32(value: int) -> bytes:
    """Encode an unsigned integer in five bytes, the maximum (5.2.2)."""
    return bytes([*(value >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)), value >> 28])


@lru_cache(maxsize=8192)  # most instructions, such as the constants of `constants.py`, recur from guest to guest
def encode_instruction(instruction: SourceInstruction, *, linked: bool = False) -> bytes:
    """Encode an instruction (5.4). `linked`: as in `ModuleSource`."""
    opcode, immediate = ENCODINGS[instruction.name]
    if linked and immediate is Immediate.FUNCTION:
        return opcode + padded_u32(instruction.immediates[0])
    if linked and immediate is Immediate.TYPE_AND_TABLE:
        return opcode + padded_u32(instruction.immediates[0]) + padded_u32(0)
    return opcode + _IMMEDIATES[immediate](instruction.immediates)


def section(number: int, content: bytes) -> bytes:
    """Encode a section: its id, its size, its content (5.5.2)."""
    return bytes([number]) + encode_u32(len(content)) + content


def vector(items: Sequence[bytes]) -> bytes:
    """Encode a vector: a count, then the items (5.1.3)."""
    return encode_u32(len(items)) + b"".join(items)


def name(text: str) -> bytes:
    """Encode a name in UTF-8 (5.2.4)."""
    encoded = text.encode()
    return encode_u32(len(encoded)) + encoded


@lru_cache(maxsize=1024)  # there are few types, the same in every guest
def function_type(kind: FunctionType) -> bytes:
    """Encode a function type (5.3.6)."""
    return b"\x60" + b"".join(vector([bytes([TYPE_CODES[t]]) for t in types]) for types in kind)


def expression(instructions: Iterable[SourceInstruction], *, linked: bool = False) -> bytes:
    """Encode instructions and their END (5.4.9)."""
    return b"".join(encode_instruction(each, linked=linked) for each in instructions) + END


def code(function: Function, *, linked: bool = False) -> bytes:
    """Encode size, locals and body of a function (5.5.13)."""
    groups = [encode_u32(len(list(run))) + bytes([TYPE_CODES[kind]]) for kind, run in groupby(function.locals)]
    content = vector(groups) + expression(function.body, linked=linked)
    return encode_u32(len(content)) + content


def _offset(value: int) -> bytes:
    return expression([SourceInstruction("i32.const", (value,))])


def module_sections(source: ModuleSource) -> list[tuple[int, bytes]]:
    """Return the sections of the module, in order: id and content."""
    imports = [name(NAMESPACE) + name(item) + b"\0" + encode_u32(kind) for item, kind in source.imports]
    table = FUNCREF + b"\0" + encode_u32(len(source.table))
    memory = b"\0" + encode_u32(source.memory_pages or 0)
    variables = [bytes([TYPE_CODES[g.type], 1]) + expression(g.init) for g in source.globals]
    exports = [name(ENTRY) + b"\0" + encode_u32(source.start)]
    exports += [name(f"g{i}") + b"\3" + encode_u32(i) for i, each in enumerate(source.globals) if each.exported]
    elements = [b"\0" + _offset(slot) + vector(list(map(encode_u32, run))) for slot, run in source.elements]
    data = [b"\0" + _offset(offset) + encode_u32(len(content)) + content for offset, content in source.data]
    contents = (
        (SectionId.TYPE, list(map(function_type, source.types))),
        (SectionId.IMPORT, imports),
        (SectionId.FUNCTION, [encode_u32(function.type) for function in source.functions]),
        (SectionId.TABLE, [table] if source.table else []),
        (SectionId.MEMORY, [memory] if source.memory_pages is not None else []),
        (SectionId.GLOBAL, variables),
        (SectionId.EXPORT, exports),
        (SectionId.ELEMENT, elements),
        (SectionId.CODE, [code(each, linked=source.linked) for each in source.functions]),
        (SectionId.DATA, data),
    )
    return [(number, vector(items)) for number, items in contents if items]


def assemble(sections: Iterable[tuple[int, bytes]]) -> bytes:
    """Encode a module from these sections, each an id and its content."""
    return MODULE_HEADER + b"".join(section(number, content) for number, content in sections)


def encode_module(source: ModuleSource) -> bytes:
    """Encode a module."""
    return assemble(module_sections(source))
