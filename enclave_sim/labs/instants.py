"""Times of day, which always say their time zone."""

from datetime import UTC, datetime

from enclave_sim.errors import ConfigurationError

_EXAMPLE = "2026-03-01T23:59:00Z"


def with_zone(what: str, at: datetime) -> datetime:
    """Return a time in UTC. Raises ConfigurationError unless it says its time zone."""
    if at.tzinfo is None:
        raise ConfigurationError(f"{what} has no time zone: write it as {_EXAMPLE}")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError(f"{what} is outside the calendar: write it as {_EXAMPLE}") from None


def read_instant(text: str) -> datetime:
    """Return the time that a text names. Raises ConfigurationError if it is none, or has no time zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{text[:80]!r} is not a time of day: write it as {_EXAMPLE}") from None
    return with_zone(repr(text), at)
