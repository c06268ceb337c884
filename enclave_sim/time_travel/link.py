"""Links: a position of a run as a text that can be pasted, with the identity of the run, a pane, and a note.

    enclave-sim:1345126+1?kernel=90e0d00711efccec&payloads=...&configuration=...&option.cycles=2&inputs=...&events=52:...

A link is refused by another run: before anything is executed if kernel, payloads or configuration differ, else once
the position is reached. Any text is either a link or a `LinkError`.
"""

import re
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import LATEST_NS
from enclave_sim.recording.text import one_line
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.run_identity import DIGITS, RunIdentity, differences, identity_of, later_differences
from enclave_sim.time_travel.travel import Travel

SCHEME = "enclave-sim:"
LONGEST = 4096
"""The maximum number of characters of a link."""
LONGEST_NOTE = 500
"""The maximum number of characters of a note."""
_WHERE = re.compile(r"([0-9]{1,19})(?:\+([0-9]{1,9}))?")
_DIGEST = re.compile(rf"[0-9a-f]{{{DIGITS}}}")
_EVENTS = re.compile(rf"([0-9]{{1,12}}):([0-9a-f]{{{DIGITS}}})")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DIGESTS = ("kernel", "payloads", "configuration", "inputs")
_OPTION = "option."
_SHOWN = 40


class LinkError(ConfigurationError):
    """A text is not a link, or the link belongs to another run."""


class Link(msgspec.Struct, frozen=True):
    """A position of a run. `str` makes the text, and `parse` reads it."""

    position: Position
    run: RunIdentity
    pane: str = ""
    """The name of a pane of the inspector to show there; empty for none."""
    note: str = ""
    """The user's words on it, on one line; empty for none."""

    def __str__(self) -> str:
        run, step = self.run, f"+{self.position.step}" if self.position.step else ""
        fields = {name: getattr(run, name) for name in _DIGESTS} | {"events": f"{run.seen}:{run.events}"}
        fields |= {f"{_OPTION}{name}": value for name, value in run.options.items()}
        fields |= {name: value for name, value in (("pane", self.pane), ("note", self.note)) if value}
        query = "&".join(f"{name}={quote(value, safe='[],:')}" for name, value in fields.items())
        return f"{SCHEME}{self.position.at_ns}{step}?{query}"

    @classmethod
    def parse(cls, text: str) -> "Link":
        """Read a link.

        Args:
            text: The text; white space around it does not count.

        Returns:
            The link.

        Raises:
            LinkError: The text is not a link.
        """
        text = text.strip()
        if not text.startswith(SCHEME):
            raise LinkError(f"{_shown(text)} is not a link, which begins with {SCHEME}")
        if len(text) > LONGEST:
            raise LinkError(f"the link has {len(text):,} characters, and at most {LONGEST:,} are possible")
        where, _, query = text.removeprefix(SCHEME).partition("?")
        fields = _fields(query)
        pane, note = fields.pop("pane", ""), fields.pop("note", "")
        if pane and not _NAME.fullmatch(pane):
            raise LinkError(f"the link's pane is {_shown(pane)}, which is not a name")
        return cls(_position(where), _identity(fields), pane, checked_note(note))


def link_to_here(run: Travel[Any], *, note: str = "", pane: str = "") -> Link:
    """Make a link to the current position of a run.

    Args:
        run: The run.
        note: Words on it; white space becomes single spaces.
        pane: The name of a pane of the inspector to show there.

    Returns:
        The link; its text is `str(link)`.

    Raises:
        LinkError: The note is too long.
    """
    identity = identity_of(run.subject.header, run.events, run.now)
    return Link(run.now, identity, pane, checked_note(" ".join(note.split())))


def follow_link(run: Travel[Any], link: Link | str) -> Link:
    """Go to a link's position. If that is not possible, the run stays where it is.

    Args:
        run: The run.
        link: The link, or its text.

    Returns:
        The link.

    Raises:
        LinkError: The text is not a link, or the link belongs to another run; the message says what differs.
        Cancelled: The token of the run was cancelled.
    """
    if isinstance(link, str):
        link = Link.parse(link)
    here = run.now
    _refuse(link, differences(link.run, identity_of(run.subject.header, (), here)))
    try:
        run.go_to(link.position)
    except NoSuchPosition as error:
        raise LinkError(f"the link belongs to another run: {error}") from None
    found = list(later_differences(link.run, identity_of(run.subject.header, run.events, run.now)))
    if found:
        run.go_to(here)
    _refuse(link, found)
    return link


def checked_note(text: str) -> str:
    """Return a note. Raises LinkError if it is too long or not on one line."""
    if len(text) > LONGEST_NOTE:
        raise LinkError(f"a note has at most {LONGEST_NOTE} characters, and this one {len(text):,}")
    if not text.isprintable():
        raise LinkError("a note is one line of printable text")
    return text


def _refuse(link: Link, found: Any) -> None:
    words = "; ".join(found)
    if words:
        raise LinkError(f"the link to {link.position} belongs to another run: {words}")


def _shown(text: str) -> str:
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return repr(one_line(short))


def _fields(query: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if not equals or name in fields:
            raise LinkError(f"the link has {_shown(part)} where one NAME=VALUE for each name belongs")
        try:
            if _ESCAPE.search(value):
                raise ValueError  # noqa: TRY301 - `unquote` lets it pass
            fields[name] = unquote(value, errors="strict")
        except ValueError:
            raise LinkError(f"the link's {_shown(name)} is not text in percent-encoding") from None
    return fields


def _position(where: str) -> Position:
    found = _WHERE.fullmatch(where)
    if found is None or int(found[1]) > LATEST_NS:
        raise LinkError(f"the link's position is {_shown(where)}; it must be such as 1345126 or 1345126+1")
    return Position(int(found[1]), int(found[2] or 0))


def _identity(fields: dict[str, str]) -> RunIdentity:
    digests = {name: fields.pop(name, "") for name in _DIGESTS}
    for name, value in digests.items():
        if not _DIGEST.fullmatch(value):
            raise LinkError(f"the link's {name} is {_shown(value)}; it must be {DIGITS} hexadecimal digits")
    events = fields.pop("events", "")
    found = _EVENTS.fullmatch(events)
    if found is None:
        raise LinkError(f"the link's events are {_shown(events)}; they must be a count, a colon and {DIGITS} digits")
    options = {}
    for name, value in fields.items():
        short = name.removeprefix(_OPTION)
        if short == name or not _NAME.fullmatch(short):
            raise LinkError(f"a link has no {_shown(name)}")
        if not value.isprintable():
            raise LinkError(f"the link's {_shown(name)} is not printable text")
        options[short] = value
    return RunIdentity(**digests, options=options, seen=int(found[1]), events=found[2])
