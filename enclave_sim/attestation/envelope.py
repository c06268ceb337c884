"""The envelope of an evidence file: who packed it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EnvelopeKey:
    """A node's own P-256 key for evidence files. It proves who packed a file, nothing about what ran."""

    secret: bytes  # 32 bytes

    @classmethod
    def from_seed(cls, seed: bytes) -> "EnvelopeKey":
        """The key that belongs to a seed of at least 16 bytes; the same for the same seed, always."""
        raise NotImplementedError

    @property
    def public(self) -> bytes:
        """The public key as a compressed point (SEC 1), 33 bytes: what reference values list."""
        raise NotImplementedError
