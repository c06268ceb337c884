"""The output of `enclave-sim payload show`, as data and as a table. Large libraries are imported on use."""

import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclave_sim.payload import artefact, signature
from enclave_sim.payload.errors import PayloadRejected
from enclave_sim.payload.wasm import sections
from enclave_sim.payload.wasm.refusals import invalid
from enclave_sim.payload.wasm.sections import SECTION_NAMES, SectionId
from enclave_sim.recording.text import printable

if TYPE_CHECKING:
    from rich.text import Text


def describe(data: bytes, found: list[sections.Section]) -> dict[str, Any]:
    """Return the description of a module. `defects` lists its unreadable parts."""
    defects: list[str] = []
    description: dict[str, Any] = {
        "bytes": len(data),
        "file_sha256": sha256(data).hexdigest(),
        "sections": [
            {"offset": each.offset, "id": each.id, "name": each.name, "bytes": len(each.raw)} for each in found
        ],
        "imports": [],
        "exports": [],
        "memory": None,
        "content_sha256": None,
        "stated_sha256": None,
        "signatures": [],
        "artefact": None,
        "defects": defects,
    }
    if _describe_interface(data, description, defects):
        description["memory"] = _memory_text(found)
    _describe_signatures(data, description, defects)
    try:
        _, compiled = artefact.split(data)
    except PayloadRejected as rejection:
        defects.append(str(rejection))
    else:
        if compiled:
            description["artefact"] = {"fingerprint": compiled.fingerprint.hex(), "bytes": len(compiled.code)}
    return description


def _describe_interface(data: bytes, description: dict[str, Any], defects: list[str]) -> bool:
    """Fill in imports and exports. Return False if the module is not valid."""
    from wasmtime import Engine, Module, WasmtimeError  # noqa: PLC0415

    try:
        compiled = Module(Engine(), data)
    except WasmtimeError as error:
        defects.append(f"not a valid module: {invalid(error)}")
        return False
    description["imports"] = [
        {"module": each.module, "name": each.name, "type": _type_text(each.type)} for each in compiled.imports
    ]
    description["exports"] = [{"name": each.name, "type": _type_text(each.type)} for each in compiled.exports]
    return True


def _describe_signatures(data: bytes, description: dict[str, Any], defects: list[str]) -> None:
    try:
        info = signature.inspect(data)
    except PayloadRejected as rejection:
        defects.append(str(rejection))
        return
    description["content_sha256"] = info.content_hash.hex()
    description["stated_sha256"] = info.stated_hash.hex() if info.stated_hash else None
    description["signatures"] = [
        {"algorithm": signature.ALGORITHM_NAMES[each.algorithm], "key_id": each.key_id.hex()} for each in info.records
    ]
    if info.stated_hash not in (None, info.content_hash):
        defects.append("the content is not what was signed: its SHA-256 is not the stated one")


def _type_text(kind: object) -> str:
    """Write the type of an import or export in the text format."""
    from wasmtime import FuncType  # noqa: PLC0415

    if not isinstance(kind, FuncType):
        return type(kind).__name__.removesuffix("Type").lower()
    parts = ["func"]
    if kind.params:
        parts.append(f"(param {' '.join(map(str, kind.params))})")
    if kind.results:
        parts.append(f"(result {' '.join(map(str, kind.results))})")
    return f"({' '.join(parts)})"


def _memory_text(found: list[sections.Section]) -> str | None:
    """Return the declared size of linear memory, which wasmtime reports only if it is exported.

    Call it only for modules that wasmtime has found valid (WebAssembly core specification, 5.5.8 and 5.3.8).

    Args:
        found: The sections of the module.

    Returns:
        The size in words; None without a memory.
    """
    holder = next((each for each in found if each.id == SectionId.MEMORY), None)
    if holder is None:
        return None
    count, at = sections.decode_u32(holder.payload, 0)
    flags = holder.payload[at] if count else 0
    if count != 1 or flags > 1:
        return "not a plain 32-bit memory"
    minimum, at = sections.decode_u32(holder.payload, at + 1)
    maximum = f"at most {sections.decode_u32(holder.payload, at)[0]}" if flags else "no maximum"
    return f"{minimum} {'page' if minimum == 1 else 'pages'} of 64 KiB, {maximum}"


def print_table(module: Path, description: dict[str, Any]) -> None:
    """Print the description for people."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in _facts(module, description):
        # Names come from the file, so they are shown without markup and with unprintable characters escaped.
        table.add_row(_plain_text(label), _plain_text(text))
    # Programs that read a pipe need whole lines, so only a terminal sets the width.
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    console.print(table)


def _facts(module: Path, description: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines of `show`: a label and a text each."""
    yield "file", f"{module}, {description['bytes']} bytes"
    yield "file SHA-256", description["file_sha256"]
    yield "content SHA-256", description["content_sha256"] or "unknown"
    for each in description["sections"]:
        kind = SECTION_NAMES.get(each["id"], f"unknown ({each['id']})")
        name = "" if each["name"] is None else f" {each['name']!r}"
        yield f"section at {each['offset']}", f"{kind}{name}, {each['bytes']} bytes"
    for each in description["imports"]:
        yield "import", f"{each['module']!r} {each['name']!r} {each['type']}"
    for each in description["exports"]:
        yield "export", f"{each['name']!r} {each['type']}"
    yield "memory", description["memory"] or "none"
    for each in description["signatures"]:
        yield "signature", f"{each['algorithm']}, key id {each['key_id'] or 'not given'}"
    if not description["signatures"]:
        yield "signature", "none"
    compiled = description["artefact"]
    yield (
        "artefact",
        f"{compiled['bytes']} bytes for engine {compiled['fingerprint']}" if compiled else "none",
    )
    for text in description["defects"]:
        yield "defect", text


def _plain_text(text: str) -> "Text":
    from rich.text import Text  # noqa: PLC0415

    return Text(printable(text))
