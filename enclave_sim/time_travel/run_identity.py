"""The identity of a run up to a position: what two runs must have in common to have the same state there.

It consists of short digests, and of the options that differ from their defaults, so that a difference can be named.
Inputs count only up to the position, and a scheduled input equals the same one given by hand at that time: a replay
schedules what was given.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.events import InputTaken
from enclave_sim.payload.keys import development_anchor
from enclave_sim.recording.format import Header, encode_lines
from enclave_sim.time_travel.position import Position
from machine.events import Event

DIGITS = 16
"""The number of hexadecimal digits of a digest. They tell runs apart; they are no protection against forgery."""
_BATCH = 4096
_LONGEST_VALUE = 100
"""The longest option, as JSON, that is kept to name a difference. The digest covers longer ones, too."""
_NO_PART = frozenset({"timeout_ns"})
"""Entries of a header's configuration that end a run, and do not change it."""


class RunIdentity(msgspec.Struct, frozen=True):
    """The identity of a run up to a position."""

    kernel: str
    """The kernel's image."""
    payloads: str
    """The payloads, or the modules of a bare kernel, in their order."""
    configuration: str
    """All options."""
    options: dict[str, str]
    """The options that differ from their defaults, as JSON, by name."""
    inputs: str
    """The inputs up to the position."""
    seen: int
    """The number of events before the position."""
    events: str
    """These events."""


def identity_of(header: Header, events: Sequence[Event], position: Position) -> RunIdentity:
    """Return the identity of a run.

    Args:
        header: The header of the run.
        events: The events before the position.
        position: The position.

    Returns:
        The identity.
    """
    options = {name: value for name, value in header.configuration.items() if name not in _NO_PART}
    return RunIdentity(
        kernel=header.firmware_sha256[:DIGITS],
        payloads=_digest(*(one.encode() + b"\n" for one in header.payload_sha256)),
        configuration=_digest(msgspec.json.encode(options, order="sorted")),
        options=_notable(options),
        inputs=_digest(*_inputs(header, events, position)),
        seen=len(events),
        events=_digest(*_lines(events)),
    )


def differences(linked: RunIdentity, here: RunIdentity) -> Iterator[str]:
    """Yield how a run differs from a linked one before anything is executed, each in a few words."""
    if linked.kernel != here.kernel:
        yield f"its kernel is {linked.kernel}..., and here {here.kernel}..."
    if linked.payloads != here.payloads:
        yield "its payloads are others"
    if linked.configuration != here.configuration:
        names = sorted(linked.options.keys() | here.options.keys())
        named = [name for name in names if linked.options.get(name) != here.options.get(name)]
        yield from (f"its {name} is {_value(linked, name)}, and here {_value(here, name)}" for name in named)
        if not named:
            yield "its configuration is another"


def later_differences(linked: RunIdentity, here: RunIdentity) -> Iterator[str]:
    """Yield how a run differs from a linked one when it has reached the position, each in a few words."""
    if linked.inputs != here.inputs:
        yield "its inputs up to there are others"
    if linked.seen != here.seen:
        yield f"it has {linked.seen:,} events up to there, and here {here.seen:,}"
    elif linked.events != here.events:
        yield f"its first {linked.seen:,} events are others"


def _value(identity: RunIdentity, name: str) -> str:
    return identity.options.get(name, "the default")


def _notable(options: Mapping[str, Any]) -> dict[str, str]:
    usual = EnclaveConfiguration().describe([development_anchor()]) | {"tpm": "built-in", "verifier": "built-in"}
    found = {}
    for name, value in options.items():
        text = msgspec.json.encode(value).decode()
        if (name not in usual or usual[name] != value) and len(text) <= _LONGEST_VALUE:
            found[name] = text
    return found


def _inputs(header: Header, events: Sequence[Event], position: Position) -> Iterator[bytes]:
    """Yield the encoded inputs up to a position, by time."""
    given = [
        msgspec.structs.replace(one.given, at_ns=one.at_ns)
        for one in events
        if isinstance(one, InputTaken) and one.given is not None
    ]
    due = [one for one in (*header.inputs, *given) if one.after is not None or one.at_ns <= position.at_ns]
    yield from sorted(msgspec.json.encode(one) + b"\n" for one in due)


def _lines(events: Sequence[Event]) -> Iterator[bytes]:
    for first in range(0, len(events), _BATCH):
        yield encode_lines([_plain(one) for one in events[first : first + _BATCH]])


def _plain(event: Event) -> Event:
    """Return an event without the distinction between scheduled and other inputs."""
    if isinstance(event, InputTaken):
        return msgspec.structs.replace(event, scheduled_ns=None, given=None)
    return event


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:DIGITS]
