"""The schedule of a run's inputs.

It watches the run's events for inputs that wait for one. Simultaneous inputs take effect in the order of the schedule.
"""

import heapq
from collections.abc import Callable, Iterable

from enclave_sim.enclave.inputs.validation import matches
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import name_of_kind
from enclave_sim.inputs import AnyInput
from machine.events import Event
from machine.state import Stateful


class Schedule(Stateful):
    """The pending inputs of one enclave. A recorder: it must receive every event."""

    STATE = ("_due", "_waiting")
    WIRING = ("on_due",)

    def __init__(self, inputs: Iterable[AnyInput] = ()) -> None:
        self.on_due: Callable[[], None] = _nothing
        """Called when an event has given an input a time, now or later."""
        self.begin(inputs)

    def begin(self, inputs: Iterable[AnyInput], events: Iterable[Event] = (), start_ns: int = 0) -> None:
        """Schedule inputs for a run that has had these events and has reached `start_ns`.

        Args:
            inputs: The inputs, in the order returned by `ordered`.
            events: The events of the run so far.
            start_ns: The virtual time of the run.

        Raises:
            ConfigurationError: An input was due before the start. Nothing is scheduled then.
        """
        self._due: list[tuple[int, int, AnyInput]] = []
        """A heap: virtual time, position in the schedule, and the input."""
        self._waiting: dict[str, list[tuple[int, int, AnyInput]]] = {}
        """By kind of event: the number of events still needed, position in the schedule, and the input."""
        for position, one in enumerate(inputs):
            if one.after is None:
                self._due.append((one.at_ns, position, one))
            else:
                self._waiting.setdefault(one.after.event, []).append((one.after.count, position, one))
        heapq.heapify(self._due)
        if self._waiting:
            for event in events:
                self._look(event)
        if self._due and self._due[0][0] < start_ns:
            due_ns, _, early = self._due[0]
            self._due, self._waiting = [], {}
            name = type(early).__name__
            raise ConfigurationError(f"input {name} at {due_ns} ns comes before the start at {start_ns} ns")

    @property
    def next_ns(self) -> int | None:
        """Virtual time of the next input, as far as known."""
        return self._due[0][0] if self._due else None

    def take_next(self) -> tuple[int, AnyInput]:
        """Remove the next input from the schedule. Return its due time and the input."""
        due_ns, _, one = heapq.heappop(self._due)
        return due_ns, one

    def record(self, event: Event) -> None:
        """See `Recorder`."""
        if self._waiting and self._look(event):
            self.on_due()

    def _look(self, event: Event) -> bool:
        """Count an event for the inputs that wait. Return True if it gave an input a time."""
        kind = name_of_kind(event)
        waiting = self._waiting.get(kind)
        if waiting is None:
            return False
        still: list[tuple[int, int, AnyInput]] = []
        for missing, position, one in waiting:
            assert one.after is not None
            left = missing - matches(one.after, event)
            if left:
                still.append((left, position, one))
            else:
                heapq.heappush(self._due, (event.at_ns + one.at_ns, position, one))
        if still:
            self._waiting[kind] = still
        else:
            del self._waiting[kind]
        return len(still) < len(waiting)


def _nothing() -> None:
    pass
