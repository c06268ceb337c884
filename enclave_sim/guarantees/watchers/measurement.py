"""Checks, whenever a guest is first entered, that the flat guest in RAM is the one named on the command line."""

from collections.abc import Callable
from typing import Any

import machine.events as machine_events
from enclave_sim import events
from enclave_sim.guarantees.watchers.watcher import Watcher
from enclave_sim.memory_map import region


class MeasurementWatcher(Watcher):
    """Compares the staging area with the given payload."""

    NAME = "measurement"
    STATE = ("_replaced", "_fresh")
    WIRING = ("payload",)

    def __init__(self) -> None:
        super().__init__()
        self.payload = b""
        """The given flat payload."""
        self._replaced = False
        """True after a test has inserted its own, unmeasured guest."""
        self._fresh = False

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """See `Watcher`."""
        return {
            events.CycleBegan: self._cycle_began,
            events.GuestReplaced: self._guest_replaced,
            machine_events.RingTransition: self._ring_changed,
        }

    def _cycle_began(self, _event: events.CycleBegan) -> None:
        self._fresh = True

    def _guest_replaced(self, _event: events.GuestReplaced) -> None:
        self._replaced = True

    def _ring_changed(self, event: machine_events.RingTransition) -> None:
        if not self.engine.is_flat or event.to_ring != 3 or not self._fresh or self._replaced:
            return
        self._fresh = False
        self.count("flat guests")
        where, ram, size = region("staging"), self.machine.ram, len(self.payload)
        if ram.read(where.base, size) != self.payload or not ram.is_zero(where.base + size, where.size - size):
            self.find("a flat guest runs that is not the one the command line names", event.at_ns)
