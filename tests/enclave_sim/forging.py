"""Forged recordings: their digest matches their changed content."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

Line = dict[str, Any]


def forge(path: Path, change: Callable[[list[Line]], None]) -> Path:
    """A copy of a recording after `change` of its lines, header first, without trailer; renumbered and rehashed."""
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    trailer = lines.pop()
    change(lines)
    for seq, line in enumerate(lines[1:]):
        line["seq"] = seq
    body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    trailer |= {"events": len(lines) - 1, "sha256": hashlib.sha256(body).hexdigest()}
    forged = path.with_name("forged.jsonl")
    forged.write_bytes(body + msgspec.json.encode(trailer) + b"\n")
    return forged
