"""What a verifier holds to be good: allow lists of digests and the Names of keys."""

from dataclasses import dataclass
from pathlib import Path

NO_TRUST_ANCHORS = "none"


@dataclass(frozen=True, slots=True)
class ReferenceValues:
    """Allow lists. Digests are SHA-256 in lower-case hex, Names 000b and a digest, keys compressed points in hex."""

    firmware: frozenset[str] = frozenset()  # kernel images
    loader_information: frozenset[str] = frozenset()
    configurations: frozenset[str] = frozenset()  # digests of kernel command lines
    payloads: frozenset[str] = frozenset()
    trust_anchors: frozenset[str] = frozenset()  # NO_TRUST_ANCHORS in it allows nodes that measure none
    ak_names: frozenset[str] = frozenset()
    envelope_keys: frozenset[str] = frozenset()  # `EnvelopeKey.public` in hex; empty: who packed a file is not checked

    def to_json(self) -> bytes:
        """The file's bytes; the same for the same values."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, data: bytes) -> "ReferenceValues":
        """The values in a file. Raises ConfigurationError for what is no such file."""
        raise NotImplementedError

    @classmethod
    def load(cls, path: Path) -> "ReferenceValues":
        """The values in the file at a path. Raises ConfigurationError."""
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write the file. Raises ConfigurationError where it cannot be written."""
        raise NotImplementedError

    def merge(self, other: "ReferenceValues") -> "ReferenceValues":
        """What either allows."""
        raise NotImplementedError
