"""The inspected run: a `Travel` that can also move by events."""

from collections.abc import Callable

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import EnclaveError
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.position import NoSuchPosition
from enclave_sim.time_travel.target import Subject
from enclave_sim.time_travel.travel import Travel
from machine.errors import MachineError
from machine.events import Event

_EXPLORED = 200_000
"""The maximum number of events explored ahead of the user."""


class InspectedRun(Travel[Subject]):
    """A run that can be inspected. Its methods return and raise like those of `Travel`."""

    _fails_ahead = False
    """True once exploring has failed."""

    @property
    def enclave(self) -> Enclave | None:
        """The running enclave; None for a bare kernel."""
        return self.subject if isinstance(self.subject, Enclave) else None

    @property
    def seen(self) -> int:
        """The number of events before the current position."""
        return self._timeline.seen

    @property
    def end_is_known(self) -> bool:
        """True if the run is known to its end."""
        return self._timeline.end is not None

    @property
    def at_end(self) -> bool:
        """True if the run ends here."""
        return self._timeline.end == self.now

    def next_phase(self) -> Position:
        """Run until the next phase reaches its target state; for a bare kernel, until the next mode change."""
        if self.enclave is not None:
            return super().next_phase()
        return self._search.run_to_kind("mode_switched", "further change of mode")

    def previous_phase(self) -> Position:
        """Go back to the last phase's target state; for a bare kernel, to the last mode change."""
        if self.enclave is not None:
            return super().previous_phase()
        return self._search.reverse_to_kind("mode_switched", "change of mode")

    def next_event(self, wanted: Callable[[Event], bool]) -> Position:
        """Run to the next event that is `wanted`. If there is none, raise NoSuchPosition at the end of the run."""
        return self._search.run_to_event(wanted, "such event")

    def previous_event(self, wanted: Callable[[Event], bool]) -> Position:
        """Go back to the last event that is `wanted`. If there is none, stay here and raise NoSuchPosition."""
        return self._search.reverse_to_event(wanted, "such event")

    def go_to_event(self, seq: int) -> Position:
        """Go to the position just after a known event. Raises NoSuchPosition for an unknown one."""
        if not 0 <= seq < len(self.known):
            raise NoSuchPosition(f"event {seq} is not known; the last one is {len(self.known) - 1}")
        self._timeline.go_to_event(seq)
        return self.now

    def explore(self) -> None:
        """Run on from the last known event to learn all events, and return. Raises Cancelled."""
        here = self.now
        try:
            if self.known:
                self._timeline.go_to_event(len(self.known) - 1)
            self._timeline.run(wanted=lambda event: event.seq >= _EXPLORED)
        except (EnclaveError, MachineError):
            self._fails_ahead = True  # said once the user gets there
        self.go_to(here)

    @property
    def is_explored(self) -> bool:
        """True if exploring would find no more. A bare kernel is not explored: it may run forever."""
        return self.enclave is None or self.end_is_known or self._fails_ahead or len(self.known) > _EXPLORED

    def leave_snapshot(self) -> None:
        """Take a snapshot here, so that the run can return quickly."""
        self._timeline.leave_snapshot()

    def settle(self) -> None:
        """Finish the step that a cancellation interrupted: a stay in the guest, or a sleep."""
        if not self.subject.between_steps:
            self._timeline.step()
