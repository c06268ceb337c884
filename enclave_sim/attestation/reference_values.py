"""What a verifier holds to be good: allow lists of digests and the Names of keys."""

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from enclave_sim.attestation.errors import shown
from enclave_sim.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

NO_TRUST_ANCHORS = "none"
FORMAT = "enclave-sim-reference-values"
VERSION = 1
_DIGEST = re.compile("[0-9a-f]{64}")
_PATTERNS = {
    "trust_anchors": (re.compile(f"[0-9a-f]{{64}}|{NO_TRUST_ANCHORS}"), f"64 hex digits or {NO_TRUST_ANCHORS!r}"),
    "ak_names": (re.compile("000b[0-9a-f]{64}"), "'000b' and 64 hex digits"),
    "envelope_keys": (re.compile("0[23][0-9a-f]{64}"), "'02' or '03' and 64 hex digits"),
}


@dataclass(frozen=True, slots=True)
class ReferenceValues:
    """Allow lists. Digests are SHA-256 in lower-case hex, Names 000b and a digest, keys compressed points in hex.

    Raises ConfigurationError for an entry that is none of these.
    """

    firmware: frozenset[str] = frozenset()  # kernel images
    loader_information: frozenset[str] = frozenset()
    configurations: frozenset[str] = frozenset()  # digests of kernel command lines
    payloads: frozenset[str] = frozenset()
    trust_anchors: frozenset[str] = frozenset()  # NO_TRUST_ANCHORS in it allows nodes that measure none
    ak_names: frozenset[str] = frozenset()
    envelope_keys: frozenset[str] = frozenset()  # `EnvelopeKey.public` in hex; empty: who packed a file is not checked

    def __post_init__(self) -> None:
        for item in fields(self):
            pattern, right = _PATTERNS.get(item.name, (_DIGEST, "64 hex digits, lower case"))
            for entry in sorted(getattr(self, item.name)):
                if not pattern.fullmatch(entry):
                    raise ConfigurationError(f"reference values: {entry[:80]!r} in {item.name} must be {right}")

    def to_json(self) -> bytes:
        """The file's bytes; the same for the same values."""
        import msgspec  # noqa: PLC0415 - needed by those alone who read or write files

        lists = {item.name: sorted(getattr(self, item.name)) for item in fields(self)}
        text = msgspec.json.encode({"format": FORMAT, "version": VERSION, **lists})
        return msgspec.json.format(text, indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> "ReferenceValues":
        """The values in a file. Raises ConfigurationError for what is no such file."""
        import msgspec  # noqa: PLC0415 - needed by those alone who read or write files

        try:
            content = msgspec.json.decode(data, type=dict[str, object])
            head = content.pop("format", None), content.pop("version", None)
            if head != (FORMAT, VERSION):
                found = f"format {shown(head[0])} version {shown(head[1])}"
                raise ConfigurationError(f"reference values: {found}; right is format {FORMAT!r} version {VERSION}")
            names = [item.name for item in fields(cls)]
            unknown = sorted(content.keys() - set(names))
            if unknown:
                raise ConfigurationError(f"reference values: {unknown[0][:40]!r} is not one of {', '.join(names)}")
            lists = msgspec.convert(content, type=dict[str, list[str]])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigurationError(f"reference values: {str(error)[:200]}; right is a JSON object of lists") from None
        missing = [name for name in names if name not in lists]
        if missing:
            raise ConfigurationError(f"reference values: {missing[0]!r} is missing; an empty list allows nothing")
        return cls(**{name: frozenset(entries) for name, entries in lists.items()})

    @classmethod
    def load(cls, path: "Path") -> "ReferenceValues":
        """The values in the file at a path. Raises ConfigurationError."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"reference values: {path} cannot be read: {error.strerror}") from None
        return cls.from_json(data)

    def save(self, path: "Path") -> None:
        """Write the file. Raises ConfigurationError where it cannot be written."""
        try:
            path.write_bytes(self.to_json())
        except OSError as error:
            raise ConfigurationError(f"reference values: {path} cannot be written: {error.strerror}") from None

    def merge(self, other: "ReferenceValues") -> "ReferenceValues":
        """What either allows."""
        names = [item.name for item in fields(self)]
        return ReferenceValues(**{name: getattr(self, name) | getattr(other, name) for name in names})
