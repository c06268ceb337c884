"""The lifetimes of a secret: `Travel.lifetimes`."""

from collections.abc import Callable
from typing import Any

from enclave_sim.time_travel.navigation.lifetimes.answers import Lifetimes, Maker
from enclave_sim.time_travel.navigation.lifetimes.guests import Guests
from enclave_sim.time_travel.navigation.lifetimes.marks import Secret
from enclave_sim.time_travel.navigation.lifetimes.rows import rows_of
from enclave_sim.time_travel.navigation.lifetimes.taint import Label, Taint
from enclave_sim.time_travel.navigation.lifetimes.walk import Walk
from enclave_sim.time_travel.navigation.provenance.guest.sources import GuestSources
from enclave_sim.time_travel.navigation.provenance.steps import Steps
from enclave_sim.time_travel.navigation.provenance.transfers import Transfers
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline

_MARKED = Maker("marked")


def follow(
    timeline: Timeline[Any],
    secret: Secret,
    until: Position | None = None,
    *,
    quickly: bool = True,
    at_step: Callable[[Taint], None] = lambda _taint: None,
) -> Lifetimes:
    """Follow a secret through a run. The timeline moves.

    Args:
        timeline: The run.
        secret: The secret.
        until: The position to which to follow it; None for the end of the run.
        quickly: False to execute every step by itself: the answer is the same.
        at_step: Called with the labels after each step that was executed by itself.

    Returns:
        Its lifetimes.
    """
    taint = Taint()
    timeline.go_to(secret.position)
    number = 0
    for place in secret.places:
        for byte in range(place.start, place.end):
            taint.put(place.space, byte, Label(number, number, 0), secret.position, _MARKED)
            number += 1
    sources = GuestSources(timeline, Steps(timeline))
    guests = Guests(timeline, sources, taint, secret.content)
    guests.begin()
    walk = Walk(timeline, Transfers(timeline, sources), guests, taint, secret.content, quickly=quickly)
    walk.run(until, lambda: at_step(taint))
    found = tuple(taint.lifetimes())
    rows = rows_of(found, timeline.now, timeline.program, timeline.machine.ram.size)
    return Lifetimes(secret.name, secret.content, secret.position, timeline.now, found, taint.meetings, tuple(rows))
