"""Reference values: the digests and the Names of keys that a verifier accepts."""

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from enclave_sim.attestation.errors import shown
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import DOCUMENT, read_utf8
from enclave_sim.reasons import reason

if TYPE_CHECKING:
    from pathlib import Path

NO_TRUST_ANCHORS = "none"
"""The entry that allows nodes without measured trust anchors."""
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
    """Allow lists. Digests are SHA-256 in lower-case hex, Names `000b` and a digest, keys compressed points in hex.

    An empty list allows nothing, except for `envelope_keys`.

    Raises:
        ConfigurationError: An entry has another form.
    """

    firmware: frozenset[str] = frozenset()
    """Digests of kernel images."""
    loader_information: frozenset[str] = frozenset()
    configurations: frozenset[str] = frozenset()
    """Digests of kernel command lines."""
    payloads: frozenset[str] = frozenset()
    trust_anchors: frozenset[str] = frozenset()
    """Digests of packed trust anchors. `NO_TRUST_ANCHORS` among them allows nodes that measure none."""
    ak_names: frozenset[str] = frozenset()
    """Names of attestation keys."""
    envelope_keys: frozenset[str] = frozenset()
    """`EnvelopeKey.public` in hex.

    If the list is empty, any key may sign a file unless the policy requires a known one.
    """

    def __post_init__(self) -> None:
        for item in fields(self):
            pattern, right = _PATTERNS.get(item.name, (_DIGEST, "64 hex digits, lower case"))
            for entry in sorted(getattr(self, item.name)):
                if not pattern.fullmatch(entry):
                    raise ConfigurationError(f"reference values: {entry[:80]!r} in {item.name} must be {right}")

    def to_json(self) -> bytes:
        """Encode the values as a file. Equal values give the same bytes.

        Returns:
            JSON, indented by two spaces.
        """
        import msgspec  # noqa: PLC0415 - only reading and writing files needs it

        lists = {item.name: sorted(getattr(self, item.name)) for item in fields(self)}
        text = msgspec.json.encode({"format": FORMAT, "version": VERSION, **lists})
        return msgspec.json.format(text, indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> "ReferenceValues":
        """Decode a file of reference values.

        Args:
            data: The file.

        Returns:
            The values.

        Raises:
            ConfigurationError: It is not such a file; the message names the entry.
        """
        import msgspec  # noqa: PLC0415 - only reading and writing files needs it

        try:
            content = msgspec.json.decode(data, type=dict[str, object])
            head = content.pop("format", None), content.pop("version", None)
            if head != (FORMAT, VERSION):
                found = f"format {shown(head[0])} version {shown(head[1])}"
                raise ConfigurationError(f"reference values: {found}; expected format {FORMAT!r} version {VERSION}")
            names = [item.name for item in fields(cls)]
            unknown = sorted(content.keys() - set(names))
            if unknown:
                raise ConfigurationError(f"reference values: {unknown[0][:40]!r} is not one of {', '.join(names)}")
            lists = msgspec.convert(content, type=dict[str, list[str]])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigurationError(f"reference values: {reason(error)}; expected a JSON object of lists") from None
        missing = [name for name in names if name not in lists]
        if missing:
            raise ConfigurationError(f"reference values: {missing[0]!r} is missing; an empty list allows nothing")
        return cls(**{name: frozenset(entries) for name, entries in lists.items()})

    @classmethod
    def load(cls, path: "Path") -> "ReferenceValues":
        """Read a file of reference values.

        Args:
            path: The file.

        Returns:
            The values.

        Raises:
            ConfigurationError: It cannot be read, or is not such a file.
        """
        text = read_utf8(path, DOCUMENT, "a file of reference values")
        try:
            return cls.from_json(text.encode())
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None

    def save(self, path: "Path") -> None:
        """Write the values to a file, which is replaced if it exists.

        Args:
            path: The file.

        Raises:
            ConfigurationError: It cannot be written.
        """
        from enclave_sim.files.writing import write_file  # noqa: PLC0415 - few are saved

        write_file(path, self.to_json())

    def merge(self, other: "ReferenceValues") -> "ReferenceValues":
        """Combine two sets of values.

        Args:
            other: The other set.

        Returns:
            Values that allow what either set allows.
        """
        names = [item.name for item in fields(self)]
        return ReferenceValues(**{name: getattr(self, name) | getattr(other, name) for name in names})
