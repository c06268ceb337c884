"""Stops before instructions at given addresses, or where control goes: the next one, and the last before a position."""

from collections.abc import Callable, Iterable
from typing import Any

from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline


class Visits:
    """Moves a timeline to positions before instructions."""

    def __init__(self, timeline: Timeline[Any]) -> None:
        self._timeline = timeline

    def run_to_next(
        self,
        places: Iterable[int] = (),
        limit: Position | None = None,
        *,
        outside: range | None = None,
        calls_above: int | None = None,
        unless: tuple[str, int] | None = None,
    ) -> bool:
        """Run to the next stop, or if there is none before them, to the limit or the end.

        Args:
            places: Linear addresses.
            limit: The position to stop at; None to run to the end.
            outside: See `Machine.stop_at`.
            calls_above: See `Machine.stop_at`.
            unless: See `Machine.stop_at`.

        Returns:
            True at a stop.
        """
        timeline = self._timeline
        machine = timeline.machine
        machine.stop_at(places, outside=outside, calls_above=calls_above, unless=unless)
        try:
            while limit is None or timeline.now < limit:
                before = timeline.now
                timeline.run(limit)
                if machine.at_stop and timeline.now != before:
                    return limit is None or timeline.now < limit
                if timeline.now in (timeline.end, before):
                    return False
        finally:
            machine.stop_at()
        return False

    def find_last(
        self, places: Iterable[int], here: Position, holds: Callable[[], bool] = lambda: True
    ) -> Position | None:
        """Find the last visit before a position, searching from snapshot to snapshot, the latest first.

        Args:
            places: The linear addresses.
            here: The position to search before.
            holds: Called at each visit; only visits for which it returns True count.

        Returns:
            The position of the visit, or None. The run may be at any position afterwards.
        """
        timeline, wanted = self._timeline, frozenset(places)
        upper = here
        for start in timeline.starts_before(here):
            timeline.go_to(start)
            machine = timeline.machine
            met = machine.cpu.linear_rip in wanted and not machine.halted and holds()
            found = start if met else None
            while self.run_to_next(wanted, upper):
                found = timeline.now if holds() else found
            if found is not None:
                return found
            upper = start
        return None
