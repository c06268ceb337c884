"""The only error of this package, and the display of untrusted values in its messages."""

from enclave_sim.errors import ConfigurationError


class EvidenceError(ConfigurationError):
    """Bytes are invalid. The message, one line, says which field, at which offset, and what would be right."""


def shown(value: object) -> str:
    """Return a value for a message: in full if that is short and cannot fail, else its type."""
    if isinstance(value, str):
        return ascii(value[:80])
    if isinstance(value, int) and abs(value) < 1 << 64:
        return f"{value}"
    return "missing" if value is None else f"of type {type(value).__name__}"
