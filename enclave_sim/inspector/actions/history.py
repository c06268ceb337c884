"""Jumps through the run, and the places that they left, which back and forward revisit.

A jump is every movement except a single step, and every change of the displayed place. A place is a position with its
display.
"""

from collections.abc import Callable
from dataclasses import dataclass

from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.desk import Desk, Sight
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.inspector.threads.session_thread import Job
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.position import NoSuchPosition

_KEPT = 200


@dataclass(frozen=True, slots=True)
class _Place:
    position: Position
    sight: Sight


class History:
    """The places.

    Only the session's thread touches the lists, because only it knows where the run was before a jump.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._past: list[_Place] = []
        self._future: list[_Place] = []

    @property
    def has_past(self) -> bool:
        """True if there is a place to go back to."""
        return bool(self._past)

    @property
    def has_future(self) -> bool:
        """True if there is a place to go forward to."""
        return bool(self._future)

    def jump(self, what: str, go: Callable[[InspectedRun], object], *, searches: bool = False) -> None:
        """Move the run, and keep the place it leaves.

        Args:
            what: The name of the jump in messages.
            go: Moves the run.
            searches: If there is no such position, the run stays where it is.
        """
        sight, job = self._desk.sight, moved(go, searches=searches)

        def keeping(moment: Moment) -> str | None:
            before = moment.run.now
            try:
                return job(moment)
            finally:
                if moment.run.now != before:
                    self._keep(_Place(before, sight))

        self._desk.ask(what, keeping)

    def show(self, change: Callable[[], object]) -> None:
        """Show another place, by `change`, and keep the one left."""
        sight = self._desk.sight
        change()
        if sight != self._desk.sight:
            self._desk.ask_quietly(lambda moment: self._keep(_Place(moment.run.now, sight)))

    def _keep(self, place: _Place) -> None:
        self._past = [*self._past[1 - _KEPT :], place]
        self._future = []

    def back(self) -> None:
        """Return to the place before the last jump."""

        def job(moment: Moment) -> None:
            if not self._past:
                raise ConfigurationError("nothing to go back to: no jump was made before")
            *rest, place = self._past
            here = _Place(moment.run.now, sight)
            self._go(moment, place)
            self._past, self._future = rest, [*self._future, here]

        sight = self._desk.sight
        self._desk.ask("going back", job)

    def forward(self) -> None:
        """Return to the place left by the last `back`."""

        def job(moment: Moment) -> None:
            if not self._future:
                raise ConfigurationError("nothing to go forward to: nothing was gone back over")
            *rest, place = self._future
            here = _Place(moment.run.now, sight)
            self._go(moment, place)
            self._past, self._future = [*self._past, here], rest

        sight = self._desk.sight
        self._desk.ask("going forward", job)

    def _go(self, moment: Moment, place: _Place) -> None:
        moment.run.go_to(place.position)
        self._desk.call_later(self._desk.restore, place.sight)


def moved(go: Callable[[InspectedRun], object], *, searches: bool = False) -> Job:
    """Return a job that moves the run. It reports a breakpoint or watchpoint hit, or that nothing was hit.

    Args:
        go: Moves the run.
        searches: If there is no such position, the run stays where it is.
    """

    def job(moment: Moment) -> str | None:
        run, before = moment.run, moment.run.now
        try:
            result = go(run)
        except NoSuchPosition as error:
            if not searches or run.now == before:
                raise
            run.go_to(before)
            raise NoSuchPosition(f"{error}; nothing has moved") from None
        why = getattr(result, "why", None)
        if why is not None:
            return f"stopped at {_point(why)}"
        if not isinstance(result, Position) and run.now == before:
            return "nothing further to stop at"
        return None

    return job


def _point(point: object) -> str:
    address = getattr(point, "address", None)
    if address is not None:
        return f"the breakpoint at {address:#x}"
    where: range = getattr(point, "where")  # noqa: B009 - either is given
    return f"the watchpoint on {where.start:#x}-{where.stop - 1:#x}"
