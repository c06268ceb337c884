"""Names of the functions of a WebAssembly module.

WebAssembly core specification, 7.4.1 (name section), 5.5.5 (imports) and 5.5.10 (exports). A function without a name in
the name section, which may also be damaged in a valid module, has the name of its import or export.
"""

from collections.abc import Iterator

from enclave_sim.payload.errors import MalformedModule
from enclave_sim.payload.wasm.sections import SectionId, decode_u32, sections

_FUNCTION_NAMES = 1
_FUNCTION = 0


def function_names(module: bytes) -> dict[int, str]:
    """Return the known names by function index. The module must import only functions, like guests."""
    found: dict[int, str] = {}
    for section in sections(module):
        if section.id == SectionId.EXPORT:
            found |= _exports(section.payload)
        elif section.id == SectionId.IMPORT:
            found |= _imports(section.payload)
    for section in sections(module):
        if section.name == "name":
            try:
                found |= dict(_named(section.payload))
            except (MalformedModule, UnicodeDecodeError):
                continue
    return found


def _imports(payload: bytes) -> dict[int, str]:
    count, at = decode_u32(payload, 0)
    found = {}
    for index in range(count):
        module, at = _name(payload, at)
        name, at = _name(payload, at)
        _type, at = decode_u32(payload, at + 1)
        found[index] = f"{module}.{name}"
    return found


def _exports(payload: bytes) -> dict[int, str]:
    count, at = decode_u32(payload, 0)
    found: dict[int, str] = {}
    for _ in range(count):
        name, at = _name(payload, at)
        kind = payload[at]
        index, at = decode_u32(payload, at + 1)
        if kind == _FUNCTION:
            found.setdefault(index, name)
    return found


def _named(payload: bytes) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(payload):
        kind = payload[at]
        size, at = decode_u32(payload, at + 1)
        if kind == _FUNCTION_NAMES:
            part = payload[at : at + size]
            count, inner = decode_u32(part, 0)
            for _ in range(count):
                index, inner = decode_u32(part, inner)
                name, inner = _name(part, inner)
                yield index, name
        at += size


def _name(data: bytes, at: int) -> tuple[str, int]:
    length, at = decode_u32(data, at)
    if at + length > len(data):
        raise MalformedModule(at, 0, "a name runs past its section's end")
    return data[at : at + length].decode(), at + length
