"""Searches in a run for an event, an address, a symbol or a time, forwards and backwards."""

from collections.abc import Callable
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import kind_of_event
from enclave_sim.similar import did_you_mean
from enclave_sim.time_travel.navigation.visits import Visits
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.events import Event


class Search:
    """Moves a timeline to a goal. `run_to` and `reverse_to` are documented in `Travel`."""

    def __init__(self, timeline: Timeline[Any], visits: Visits) -> None:
        self._timeline = timeline
        self._visits = visits

    # Named goals

    def run_to(
        self,
        *,
        event: str | None,
        address: int | None,
        symbol: str | None,
        at_ns: int | None,
        when: Callable[[Any], bool],
    ) -> Position:
        """See `Travel.run_to`."""
        one_of(event=event, address=address, symbol=symbol, at_ns=at_ns)
        if at_ns is not None:
            self._timeline.run(Position(at_ns))
            return self._reached(self._timeline.now.at_ns >= at_ns, f"time {at_ns} ns")
        if event is not None:
            return self.run_to_kind(event, f"event {event}", when)
        place = self.address_of(address, symbol)
        return self._reached(self._visits.run_to_next([place]), f"{place:#x}")

    def reverse_to(
        self,
        *,
        event: str | None,
        address: int | None,
        symbol: str | None,
        at_ns: int | None,
        when: Callable[[Any], bool],
    ) -> Position:
        """See `Travel.reverse_to`."""
        one_of(event=event, address=address, symbol=symbol, at_ns=at_ns)
        here = self._timeline.now
        if at_ns is not None:
            if at_ns >= here.at_ns:
                raise NoSuchPosition(f"time {at_ns} ns does not lie before {here}")
            self._timeline.go_to_time(at_ns)
            return self._timeline.now
        if event is not None:
            return self.reverse_to_kind(event, f"event {event}", when)
        place = self.address_of(address, symbol)
        found = self._visits.find_last([place], here)
        return self._timeline.go_back(here, found, f"{place:#x} is not executed before {here}")

    # Events

    def run_to_kind(self, event: str, what: str, when: Callable[[Any], bool] = lambda _: True) -> Position:
        """Run to the next event of a kind for which `when` holds; `what` is its name in the error, as below."""
        kind = kind_of_event(event)
        return self.run_to_event(lambda e: isinstance(e, kind) and when(e), what)

    def reverse_to_kind(self, event: str, what: str, when: Callable[[Any], bool] = lambda _: True) -> Position:
        """Go back to the last event of a kind for which `when` holds; `what` is its name in the error, as below."""
        kind = kind_of_event(event)
        return self.reverse_to_event(lambda e: isinstance(e, kind) and when(e), what)

    def run_to_event(self, wanted: Callable[[Event], bool], what: str) -> Position:
        """Run to the next event that is `wanted`. If there is none, run to the end and raise NoSuchPosition."""
        return self._reached(self._timeline.run(wanted=wanted) is not None, what)

    def reverse_to_event(self, wanted: Callable[[Event], bool], what: str) -> Position:
        """Go back to the last event that is `wanted`. If there is none, stay here and raise NoSuchPosition."""
        here, known = self._timeline.now, self._timeline.monitor.events
        for seq in reversed(range(self._timeline.seen)):
            if wanted(known[seq]):
                self._timeline.go_to_event(seq)
                if self._timeline.now < here:
                    return self._timeline.now
        return self._timeline.go_back(here, None, f"no {what} lies before {here}")

    def address_of(self, address: int | None, symbol: str | None) -> int:
        """Return the address, or the symbol's address. Raises ConfigurationError for an unknown symbol."""
        if address is not None:
            return address
        symbols = self._timeline.program.symbols
        if symbol is None or symbol not in symbols:
            hint = did_you_mean(symbol or "", symbols)
            raise ConfigurationError(f"the kernel has no symbol {symbol!r}; {hint}".rstrip("; "))
        return symbols[symbol]

    def _reached(self, reached: bool, what: str) -> Position:
        if not reached:
            raise NoSuchPosition(f"no {what} before the run ends at {self._timeline.now}")
        return self._timeline.now


def one_of(**goals: Any) -> None:
    """Raise ConfigurationError unless exactly one goal is given."""
    given = [name for name, goal in goals.items() if goal is not None]
    if len(given) != 1:
        raise ConfigurationError(f"give exactly one of {', '.join(goals)}; {' and '.join(given) or 'none'} given")
