"""The context of an event: the cycle, phase and ring in which it happened, as far as events so far determine them."""

from enclave_sim.events import CycleBegan, PhaseEntered
from machine.events import Event, ModeSwitched, RingTransition


class Context:
    """Follows the events of a run in order."""

    def __init__(self) -> None:
        self.cycle: int | None = None
        """The cycle begun last, from 0; None before the first."""
        self.phase: str | None = None
        """The boot phase entered last; None before the first."""
        self.ring: int | None = None
        """The current privilege level after the last event; None before the reset is recorded."""

    def read(self, event: Event) -> None:
        """Take one event."""
        match event:
            case CycleBegan(cycle=cycle):
                self.cycle = cycle
            case PhaseEntered(phase=phase):
                self.phase = phase
            case RingTransition(to_ring=ring):
                self.ring = ring
            case ModeSwitched(previous="reset"):
                self.ring = 0
