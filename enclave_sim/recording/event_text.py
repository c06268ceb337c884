"""Events as readable lines: one event per line, in columns."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from enclave_sim.events import name_of_kind
from enclave_sim.recording.text import printable

if TYPE_CHECKING:
    from enclave_sim.recording.comparison.divergence import Divergence
    from machine.events import Event

_HEXADECIMAL = frozenset(
    "address base error_code handler limit previous result rip rsp selector stack status value vector".split()
)
_COMMON = ("seq", "at_ns")
_LONGEST_TEXT = 100


def event_line(event: "Event") -> str:
    """Return number, virtual time in ns, kind, and the event's own fields, without null fields."""
    values = {name: getattr(event, name) for name in event.__struct_fields__ if name not in _COMMON}
    own = " ".join(f"{name}={_value(name, value)}" for name, value in values.items() if value is not None)
    return f"{event.seq:>9,}  {event.at_ns:>15,}  {name_of_kind(event):<23}  {own}".rstrip()


def heading() -> str:
    """Return the heading for lines of events."""
    return f"{'event':>9}  {'at ns':>15}  {'kind':<23}  fields"


def differing_lines(divergence: "Divergence", first: str, second: str) -> Iterator[str]:
    """Yield the common lines after two spaces, those of the first after `-`, and those of the second after `+`."""
    yield f"  {heading()}"
    yield from marked(" ", divergence.before)
    yield from marked("-", divergence.first, f"{first} ends here")
    yield from marked("+", divergence.second, f"{second} ends here")


def marked(mark: str, events: "Iterable[Event]", none: str | None = None) -> Iterator[str]:
    """Yield lines of events after a mark, or `none`, if given, if there is no event."""
    lines = [f"{mark} {event_line(event)}" for event in events]
    yield from lines or ([] if none is None else [f"{mark} {none}"])


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:#x}" if name in _HEXADECIMAL else str(value)
    if isinstance(value, str):
        text = printable(value)
        return f'"{text}"' if " " in text or not text else text
    text = printable(msgspec.json.encode(value).decode())
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
