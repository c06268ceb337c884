"""The run that is inspected: a session that can be cancelled while it works, and that goes by events."""

from collections.abc import Callable

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.position import NoSuchPosition
from enclave_sim.time_travel.target import Subject
from enclave_sim.time_travel.travel import Travel
from machine.events import Event


class InspectedRun(Travel[Subject]):
    """`make` gives what is run, recorded by what it gets. What cancels its token ends what the session is doing."""

    @property
    def enclave(self) -> Enclave | None:
        """What is run, where that is an enclave."""
        return self.subject if isinstance(self.subject, Enclave) else None

    @property
    def known(self) -> list[Event]:
        """All events that were seen, those ahead of the current position, too. The list only grows."""
        return self._timeline.monitor.events

    @property
    def seen(self) -> int:
        """How many of them lie behind the current position."""
        return self._timeline.seen

    @property
    def at_end(self) -> bool:
        """Whether the run ends here."""
        return self._timeline.end == self.now

    def next_phase(self) -> Position:
        """Go to where the next phase reaches its target state; without an enclave, to the next change of mode."""
        return super().next_phase() if self.enclave is not None else self.run_to(event="mode_switched")

    def previous_phase(self) -> Position:
        """Go back to where the last phase reached its target state, or the mode changed last."""
        return super().previous_phase() if self.enclave is not None else self.reverse_to(event="mode_switched")

    def next_event(self, wanted: Callable[[Event], bool]) -> Position:
        """Go on to the next event that is `wanted`. Raises NoSuchPosition, at the end, where there is none."""
        return self._search.run_to_event(wanted, "such event")

    def previous_event(self, wanted: Callable[[Event], bool]) -> Position:
        """Back to the last event that is `wanted` before here. Raises NoSuchPosition where there is none."""
        return self._search.reverse_to_event(wanted, "such event")

    def go_to_event(self, seq: int) -> Position:
        """To where a known event has just happened. Raises NoSuchPosition for one that is not known."""
        if not 0 <= seq < len(self.known):
            raise NoSuchPosition(f"event {seq} is not known; the last one is {len(self.known) - 1}")
        self._timeline.go_to_event(seq)
        return self.now

    def leave_snapshot(self) -> None:
        """Take one here, so that one comes back quickly."""
        self._timeline.leave_snapshot()

    def settle(self) -> None:
        """After an interruption: end a stay in the guest or a sleep that is not over."""
        if not self.subject.between_steps:
            self._timeline.step()
