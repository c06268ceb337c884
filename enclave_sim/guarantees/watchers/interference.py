"""Probes of the state visible to each next context.

A fresh guest can see its registers and memory, the sleeping kernel all of RAM. `noninterference` compares the digests
of two runs. A guest may also see what is its own: the status word that the kernel computed for it, and its memory after
an input has changed it. There a secret may be, and if it is nowhere, two runs are no evidence.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import firmware
import machine.events as machine_events
from enclave_sim import events
from enclave_sim.guarantees.watchers.watcher import Watcher
from enclave_sim.inputs import WRITES
from enclave_sim.memory_map import GUEST_MEMORY, Region, read_by_guests, region, region_at
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.bus.ram import PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Probe:
    """The values visible to a context at one moment: digests by register or page."""

    what: str
    at_ns: int
    seen: dict[str, bytes | int]
    own: dict[str, bytes | int] = field(default_factory=dict)
    """The values that the context alone may see, by name: a secret may be there."""


STATUS, MEMORY = "its status word", "its memory"
"""Names in `Probe.own`."""
STATUS_RECORDS = {"status": "the kernel's status word", "wake_reason": "the kernel's reason for the last wake"}
"""The kernel's variables that hold status bits, each with its name in `Probe.seen` of the sleeping enclave."""
_WORD = 4


class InterferenceWatcher(Watcher):
    """Probes the state visible to each next context."""

    NAME = "interference"
    STATE = ("probes", "_fresh", "_runs", "_memory_bytes")

    def __init__(self) -> None:
        super().__init__()
        self.probes: list[Probe] = []
        self._fresh: events.CycleBegan | None = None
        self._runs = False
        self._memory_bytes = 0

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """See `Watcher`."""
        return {
            events.CycleBegan: self._cycle_began,
            machine_events.RingTransition: self._ring_changed,
            machine_events.Halted: self._halted,
            events.GuestInstantiated: self._guest_instantiated,
            events.CycleEnded: self._guest_gone,
            events.AnnihilationBegan: self._guest_gone,
            events.InputTaken: self._input_taken,
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
        self._probe(what, event.at_ns, pages, {STATUS: self._word("status")})
        self._runs = True

    def _guest_instantiated(self, event: events.GuestInstantiated) -> None:
        self._memory_bytes = event.memory_bytes

    def _guest_gone(self, _event: events.CycleEnded | events.AnnihilationBegan) -> None:
        self._runs = False

    def _input_taken(self, event: events.InputTaken) -> None:
        """Note the memory of the running guest after an input that may have changed it."""
        if event.input not in WRITES or not self._runs:
            return
        ram, probe = self.machine.ram, self.probes[-1]
        digest = hashlib.sha256()
        for part in self._memory():
            for page in ram.nonzero_pages([part]):
                digest.update(page.to_bytes(8, "little") + ram.read(page, PAGE_SIZE))
        number = sum(name.startswith(MEMORY) for name in probe.own)
        name = f"{MEMORY}, after input {number + 1} to memory or registers"
        self.probes[-1] = replace(probe, own={**probe.own, name: digest.digest()})

    def _memory(self) -> list[range]:
        """Return the running guest's own memory: the part of the heap that is its linear memory, or all of ring 3's."""
        if self.engine.is_flat:
            return [range(region(name).base, region(name).end) for name in GUEST_MEMORY]
        heap, size = region("heap"), self._memory_bytes
        return [range(heap.end - size, heap.end)] if size else []

    def _visible(self) -> list[Region]:
        """Return the regions that a guest can read, without the payloads: a secret in one is its guest's own."""
        read = [one for one in read_by_guests(self.engine) if one.name != "staging"]
        return [*(region(name) for name in ("gate", *GUEST_MEMORY)), *read]

    def _halted(self, event: machine_events.Halted) -> None:
        """Probe all of RAM except the payloads, which stay in the staging area as loaded."""
        if event.interruptible:
            staging = region("staging")
            pages = [p for p in self.machine.ram.nonzero_pages() if not staging.base <= p < staging.end]
            self._probe("the sleeping enclave", event.at_ns, pages, {})

    def _word(self, variable: str) -> int:
        return int.from_bytes(self.machine.ram.read(self.kernel.symbols[variable], _WORD), "little")

    def _probe(self, what: str, at_ns: int, pages: list[int], own: dict[str, bytes | int]) -> None:
        cpu, ram = self.machine.cpu, self.machine.ram
        seen: dict[str, bytes | int] = {name.upper(): getattr(cpu.registers, name) for name in GENERAL_REGISTERS}
        seen |= {"RFLAGS": cpu.rflags, "XMM": hashlib.sha256(cpu.context.vector_registers).digest()}
        for page in pages:
            where = region_at(page)
            name = f"{where.name if where else 'unmapped'}, page {page:#x}"
            seen[name] = hashlib.sha256(_without_records(self.kernel.symbols, page, ram.read(page, PAGE_SIZE))).digest()
        if not own:
            seen |= {name: self._word(variable) for variable, name in STATUS_RECORDS.items()}
        self.probes.append(Probe(what, at_ns, seen, own))
        self.count("probes")


def _without_records(symbols: Mapping[str, int], page: int, content: bytes) -> bytes:
    """Return a page of RAM, with zeros in place of the kernel's measurement log and of its status words."""
    sizes = {"event_log": firmware.layout()["EVENT_LOG_SIZE"], **dict.fromkeys(STATUS_RECORDS, _WORD)}
    for symbol, size in sizes.items():
        start, end = max(symbols[symbol] - page, 0), min(symbols[symbol] + size - page, PAGE_SIZE)
        content = content if start >= end else content[:start] + bytes(end - start) + content[end:]
    return content
