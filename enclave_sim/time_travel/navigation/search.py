"""Ways through a run to something: an event, an address, a symbol, a time; forwards and backwards."""

from collections.abc import Callable
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import kind_of_event
from enclave_sim.time_travel.navigation.stepping import Walk
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.target import S


class Search(Walk[S]):
    """A run in which one goes to what one looks for."""

    def run_to(
        self,
        *,
        event: str | None = None,
        address: int | None = None,
        symbol: str | None = None,
        at_ns: int | None = None,
        when: Callable[[Any], bool] = lambda _event: True,
    ) -> Position:
        """Go on to the next event of a kind for which `when` holds, to an address or symbol, or to a time.

        Raises NoSuchPosition, and is at the end then, where there is none ahead; ConfigurationError unless exactly one
        goal is given.
        """
        one_of(event=event, address=address, symbol=symbol, at_ns=at_ns)
        if at_ns is not None:
            self._timeline.run(Position(at_ns))
            return self._reached(self.now.at_ns >= at_ns, f"time {at_ns} ns")
        if event is not None:
            kind = kind_of_event(event)
            found = self._timeline.run(wanted=lambda e: isinstance(e, kind) and when(e))
            return self._reached(found is not None, f"event {event}")
        place = self._address_of(address, symbol)
        reached = self._run_to_address([place], None)
        return self._reached(reached, f"{place:#x}")

    def reverse_to(
        self,
        *,
        event: str | None = None,
        address: int | None = None,
        symbol: str | None = None,
        at_ns: int | None = None,
        when: Callable[[Any], bool] = lambda _event: True,
    ) -> Position:
        """Go back to the last such moment before the current one. See `run_to`; one stays where there is none."""
        one_of(event=event, address=address, symbol=symbol, at_ns=at_ns)
        here = self.now
        if at_ns is not None:
            if at_ns >= here.at_ns:
                raise NoSuchPosition(f"time {at_ns} ns does not lie before {here}")
            self._timeline.go_to_time(at_ns)
            return self.now
        if event is not None:
            kind = kind_of_event(event)
            for past in reversed(self.events):
                if isinstance(past, kind) and when(past):
                    self._timeline.go_to_event(past.seq)
                    if self.now < here:
                        return self.now
            return self._go_back(here, None, f"no event {event} lies before {here}")
        place = self._address_of(address, symbol)
        return self._go_back(here, self._last_at([place], here), f"{place:#x} is not executed before {here}")

    def _reached(self, reached: bool, what: str) -> Position:
        if not reached:
            raise NoSuchPosition(f"there is no {what} before the run ends at {self.now}")
        return self.now

    def _address_of(self, address: int | None, symbol: str | None) -> int:
        """A linear address, given as such or as a symbol. Raises ConfigurationError for an unknown one."""
        if address is not None:
            return address
        symbols = self.program.symbols
        if symbol is None or symbol not in symbols:
            raise ConfigurationError(f"the kernel has no symbol {symbol!r}")
        return symbols[symbol]

    # By what happens

    def next_transition(self) -> Position:
        """To the next change of the ring."""
        return self.run_to(event="ring_transition")

    def previous_transition(self) -> Position:
        """Back to the last change of the ring."""
        return self.reverse_to(event="ring_transition")

    def next_host_call(self) -> Position:
        """To the next host call of the guest."""
        return self.run_to(event="host_called")

    def previous_host_call(self) -> Position:
        """Back to the last host call of the guest."""
        return self.reverse_to(event="host_called")

    def next_phase(self) -> Position:
        """To where the next phase is completed."""
        return self.run_to(event="phase_completed")

    def previous_phase(self) -> Position:
        """Back to where the last phase was completed."""
        return self.reverse_to(event="phase_completed")


def one_of(**goals: Any) -> None:
    """Raise ConfigurationError unless exactly one goal is given."""
    given = [name for name, goal in goals.items() if goal is not None]
    if len(given) != 1:
        raise ConfigurationError(f"one goal is needed, of {', '.join(goals)}; given are {', '.join(given) or 'none'}")
