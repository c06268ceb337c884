"""Probes of the state visible to each next context.

A fresh guest can see its registers and memory, the sleeping kernel all of RAM. `noninterference` compares the digests
of two runs.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import firmware
import machine.events as machine_events
from enclave_sim import events
from enclave_sim.guarantees.watchers.watcher import Watcher
from enclave_sim.memory_map import GUEST_MEMORY, Region, read_by_guests, region, region_at
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.bus.ram import PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Probe:
    """The values visible to a context at one moment: digests by register or page."""

    what: str
    at_ns: int
    seen: dict[str, bytes | int]


class InterferenceWatcher(Watcher):
    """Probes the state visible to each next context."""

    NAME = "interference"
    STATE = ("probes", "_fresh")

    def __init__(self) -> None:
        super().__init__()
        self.probes: list[Probe] = []
        self._fresh: events.CycleBegan | None = None

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """See `Watcher`."""
        return {
            events.CycleBegan: self._cycle_began,
            machine_events.RingTransition: self._ring_changed,
            machine_events.Halted: self._halted,
        }

    def _cycle_began(self, event: events.CycleBegan) -> None:
        self._fresh = event

    def _ring_changed(self, event: machine_events.RingTransition) -> None:
        """Probe everything that a guest can see at its first entry."""
        if event.to_ring != 3 or self._fresh is None:
            return
        what, self._fresh = f"the guest of cycle {self._fresh.cycle} at its entry", None
        visible = [range(one.base, one.end) for one in self._visible()]
        pages = self.machine.ram.nonzero_pages(visible)
        self._probe(what, event.at_ns, pages)

    def _visible(self) -> list[Region]:
        """Return the regions that a guest can read, without the payloads: a secret in one is its guest's own."""
        read = [one for one in read_by_guests(self.engine) if one.name != "staging"]
        return [*(region(name) for name in ("gate", *GUEST_MEMORY)), *read]

    def _halted(self, event: machine_events.Halted) -> None:
        """Probe all of RAM except the payloads, which stay in the staging area as loaded."""
        if event.interruptible:
            staging = region("staging")
            pages = [p for p in self.machine.ram.nonzero_pages() if not staging.base <= p < staging.end]
            self._probe("the sleeping enclave", event.at_ns, pages)

    def _probe(self, what: str, at_ns: int, pages: list[int]) -> None:
        cpu, ram = self.machine.cpu, self.machine.ram
        seen: dict[str, bytes | int] = {name.upper(): getattr(cpu.registers, name) for name in GENERAL_REGISTERS}
        seen |= {"RFLAGS": cpu.rflags, "XMM": hashlib.sha256(cpu.context.vector_registers).digest()}
        for page in pages:
            where = region_at(page)
            name = f"{where.name if where else 'unmapped'}, page {page:#x}"
            seen[name] = hashlib.sha256(_without_event_log(page, ram.read(page, PAGE_SIZE))).digest()
        self.probes.append(Probe(what, at_ns, seen))
        self.count("probes")


def _without_event_log(page: int, content: bytes) -> bytes:
    """Return a page of RAM, with zeros in place of the kernel's measurement log."""
    log, size = firmware.symbols()["event_log"], firmware.layout()["EVENT_LOG_SIZE"]
    start, end = max(log - page, 0), min(log + size - page, PAGE_SIZE)
    return content if start >= end else content[:start] + bytes(end - start) + content[end:]
