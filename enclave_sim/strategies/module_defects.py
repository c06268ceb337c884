"""Defects of modules. Each one turns a valid module into an invalid one; its `number` selects one of many variants.

They are in the order of the checks that refuse them: framing (WebAssembly core specification, 5.5), contents of
sections, then the guest contract and its size limits (`enclave_sim.enclave.engine.profile`).
"""

from collections.abc import Callable
from dataclasses import replace

from enclave_sim.enclave.engine.profile import ENTRY, NAMESPACE, PAGE_BYTES, TABLE_LIMIT
from enclave_sim.memory_map import region
from enclave_sim.payload.wasm.sections import MODULE_HEADER, SectionId, decode_u32, encode_u32
from enclave_sim.strategies.wasm import encoding as wasm
from enclave_sim.strategies.wasm.code_defects import CODE_DEFECTS
from enclave_sim.strategies.wasm.module import ModuleSource

Sections = list[tuple[int, bytes]]
Defect = Callable[[ModuleSource, int], bytes]


def _framed(change: Callable[[Sections, int], None]) -> Defect:
    """Return a defect that changes the list of sections."""

    def defect(source: ModuleSource, number: int) -> bytes:
        sections = wasm.module_sections(source)
        change(sections, number)
        return wasm.assemble(sections)

    return defect


def _resized(resize: Callable[[bytes], bytes]) -> Defect:
    """Return a defect in the encoded size of a section."""

    def defect(source: ModuleSource, number: int) -> bytes:
        sections = wasm.module_sections(source)
        chosen = number % len(sections)
        parts = [wasm.section(*item) for item in sections]
        identity, content = sections[chosen]
        parts[chosen] = bytes([identity]) + resize(content) + content
        return MODULE_HEADER + b"".join(parts)

    return defect


def _cut_off(source: ModuleSource, number: int) -> bytes:
    module = wasm.encode_module(source)
    without_data = len(wasm.encode_module(replace(source, data=())))
    length = number % len(module)
    return module[: length - (length == without_data)]


def _header(source: ModuleSource, number: int) -> bytes:
    module = bytearray(wasm.encode_module(source))
    module[number % 8] ^= 1 << number // 8 % 8
    return bytes(module)


def _swap(sections: Sections, number: int) -> None:
    first = number % (len(sections) - 1)
    sections[first], sections[first + 1] = sections[first + 1], sections[first]


def _twice(sections: Sections, number: int) -> None:
    chosen = number % len(sections)
    sections.insert(chosen, sections[chosen])


def _unknown(sections: Sections, number: int) -> None:
    sections.insert(number % (len(sections) + 1), (14 + number % 242, b""))


def _missing(sections: Sections, number: int) -> None:
    needed = [
        item for item in sections if item[0] in (SectionId.TYPE, SectionId.FUNCTION, SectionId.EXPORT, SectionId.CODE)
    ]
    sections.remove(needed[number % len(needed)])


def _too_many(sections: Sections, number: int) -> None:
    chosen = number % len(sections)
    identity, content = sections[chosen]
    count, at = decode_u32(content, 0)
    sections[chosen] = (identity, encode_u32(count + 1) + content[at:])


def _long_count(sections: Sections, number: int) -> None:
    chosen = number % len(sections)
    identity, content = sections[chosen]
    sections[chosen] = (identity, bytes([content[0] | 0x80, 0x80, 0x80, 0x80, 0x80, 0]) + content[1:])


def put(sections: Sections, number: int, content: bytes) -> None:
    """Set the content of a section. Sections are ordered by number, but the tag section follows the memory section."""
    others = [item for item in sections if item[0] != number]
    sections[:] = sorted([*others, (number, content)], key=lambda item: 5.5 if item[0] == SectionId.TAG else item[0])


def _held(number: int, *choices: bytes) -> Defect:
    """Return a defect that replaces the content of a section with one of these."""
    return _framed(lambda sections, choice: put(sections, number, choices[choice % len(choices)]))


def _alone(kind: bytes, entry: int, code: bytes, imported: bytes = b"\0", tables: bytes = b"\0") -> Defect:
    """Return a module with one function type, the imports and `_start`, but no guest, which cannot be at fault."""
    sections = [
        (SectionId.TYPE, wasm.vector([kind])),
        (SectionId.IMPORT, imported),
        (SectionId.FUNCTION, b"\1\0"),
        (SectionId.TABLE, tables),
        (SectionId.EXPORT, wasm.vector([wasm.name(ENTRY) + b"\0" + encode_u32(entry)])),
        (SectionId.CODE, wasm.vector([encode_u32(len(code) + 2) + b"\0" + code + wasm.END])),
    ]
    return lambda _source, _number: wasm.assemble(sections)


def _import(description: bytes, item: str = "get_status", namespace: str = NAMESPACE) -> Defect:
    imported = wasm.vector([wasm.name(namespace) + wasm.name(item) + description])
    return _alone(b"\x60\0\0", int(description[0] == 0), b"", imported)


def _entry_that_is_a_memory(source: ModuleSource, _number: int) -> bytes:
    sections = wasm.module_sections(replace(source, memory_pages=source.memory_pages or 1))
    put(sections, SectionId.EXPORT, wasm.vector([wasm.name(ENTRY) + b"\2\0"]))
    return wasm.assemble(sections)


def _start_section(source: ModuleSource, _number: int) -> bytes:
    sections = wasm.module_sections(source)
    put(sections, SectionId.START, encode_u32(source.start))
    return wasm.assemble(sections)


def _large_memory(source: ModuleSource, number: int) -> bytes:
    return wasm.encode_module(replace(source, memory_pages=region("heap").size // PAGE_BYTES + 1 + number))


def _global_of_another_type(source: ModuleSource, _number: int) -> bytes:
    sections = wasm.module_sections(replace(source, globals=()))
    put(sections, SectionId.GLOBAL, wasm.vector([b"\x7f\1\x42\0\x0b"]))
    return wasm.assemble(sections)


def _element_out_of_range(source: ModuleSource, _number: int) -> bytes:
    return wasm.encode_module(replace(source, table=(*source.table, source.start + 1)))


def _data_without_memory(source: ModuleSource, _number: int) -> bytes:
    return wasm.encode_module(replace(source, memory_pages=None, data=((0, b"data"),)))


def _passive_data(source: ModuleSource, number: int) -> bytes:
    sections = wasm.module_sections(source)
    put(sections, SectionId.DATA, b"\1\1" + wasm.vector([b"d"] * (number % 100)))
    return wasm.assemble(sections)


def _passive_elements(source: ModuleSource, number: int) -> bytes:
    """Return a module with an element segment that no table uses."""
    sections = wasm.module_sections(source)
    put(sections, SectionId.ELEMENT, b"\1\1\0" + wasm.vector([encode_u32(source.start)] * (number % 100)))
    return wasm.assemble(sections)


def _reference_parameter(source: ModuleSource, number: int) -> bytes:
    sections = wasm.module_sections(source)
    kind = b"\x60" + wasm.vector([b"\x7f"] * (number % 100) + [b"\x6f"]) + b"\0"
    put(sections, SectionId.TYPE, wasm.vector([*map(wasm.function_type, source.types), kind]))
    return wasm.assemble(sections)


def _code(defect: bytes) -> Defect:
    """Return a defect that inserts bytes before the body of `_start`, in a module with a memory and a table."""

    def make(source: ModuleSource, _number: int) -> bytes:
        complete = replace(source, memory_pages=source.memory_pages or 1, table=source.table or (None,))
        sections = wasm.module_sections(complete)
        *others, start = complete.functions
        content = wasm.code(replace(start, body=()))
        _, at = decode_u32(content, 0)
        body = content[at : -len(wasm.END)] + defect + wasm.expression(start.body)
        put(sections, SectionId.CODE, wasm.vector([*map(wasm.code, others), encode_u32(len(body)) + body]))
        return wasm.assemble(sections)

    return make


DEFECTS: dict[str, Defect] = {
    "cut off": _cut_off,
    "bit of the header flipped": _header,
    "byte after the end": lambda source, _: wasm.encode_module(source) + b"\1",
    "section too small": _resized(lambda content: encode_u32(len(content) - 1)),
    "section too large": _resized(lambda content: encode_u32(len(content) + 1)),
    "section larger than the file": _resized(lambda _: b"\xff\xff\xff\xff\x0f"),
    "size of a section out of range": _resized(lambda _: b"\xff\xff\xff\xff\x7f"),
    "size of a section too long": _resized(lambda content: bytes([len(content) & 0x7F | 0x80]) + b"\x80" * 4 + b"\0"),
    "sections out of order": _framed(_swap),
    "section twice": _framed(_twice),
    "unknown section": _framed(_unknown),
    "section missing": _framed(_missing),
    "count too large": _framed(_too_many),
    "count too long": _framed(_long_count),
    "function type with a wrong tag": _held(SectionId.TYPE, b"\1\x40\0\0", b"\1\0\0\0"),
    "type that is no value type": _held(SectionId.TYPE, b"\1\x60\1\x01\0", b"\1\x60\0\1\x40"),
    "name that is not UTF-8": _held(SectionId.EXPORT, b"\1\2\xff\xfe\0\0"),
    "two exports of one name": _held(SectionId.EXPORT, b"\2\6_start\0\0\6_start\0\0"),
    "global of another type": _global_of_another_type,
    "element that is no function": _element_out_of_range,
    "data without memory": _data_without_memory,
    "memory with a maximum below its minimum": _held(SectionId.MEMORY, b"\1\1\2\1"),
    "two memories": _held(SectionId.MEMORY, b"\2\0\1\0\1"),
    "shared memory": _held(SectionId.MEMORY, b"\1\3\1\1"),
    "memory of 64-bit addresses": _held(SectionId.MEMORY, b"\1\4\1", b"\1\5\1\1"),
    "table of external references": _alone(b"\x60\0\0", 0, b"", tables=b"\1\x6f\0\1"),
    "two tables": _held(SectionId.TABLE, b"\2\x70\0\x40\x70\0\1"),
    "table of a type in its long form": _held(SectionId.TABLE, b"\1\x63\x70\0\x40"),
    "passive data": _passive_data,
    "passive elements": _passive_elements,
    "parameter that is a reference": _reference_parameter,
    "exception tag": _held(SectionId.TAG, b"\1\0\0"),
    "memory too large": _large_memory,
    "table too large": _held(
        SectionId.TABLE, b"\1\x70\0" + encode_u32(TABLE_LIMIT + 1), b"\1\x70\0\xff\xff\xff\xff\x0f"
    ),
    "import from elsewhere": _import(b"\0\0", "write", "env"),
    "import of an unknown function": _import(b"\0\0", "reboot"),
    "import of a memory": _import(b"\2\0\1", "memory"),
    "import of a table": _import(b"\1\x70\0\1", "table"),
    "import of a global": _import(b"\3\x7f\0", "global"),
    "import of another type": _import(b"\0\0"),
    "no entry": _held(SectionId.EXPORT, b"\0", b"\1" + wasm.name("start") + b"\0\0"),
    "entry that is a memory": _entry_that_is_a_memory,
    "entry of another type": _alone(b"\x60\0\1\x7f", 0, b"\x41\0"),
    "start section": _start_section,
    **{name: _code(code) for name, code in CODE_DEFECTS.items()},
}
"""Every defect by name."""
