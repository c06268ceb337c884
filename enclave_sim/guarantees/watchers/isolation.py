"""Isolated: no code in ring 3 changes a byte outside the guest's regions, or a control register.

Each stay in ring 3 is bracketed. When it begins, all memory outside the guest's regions is copied, with the registers
and devices that only the kernel may change. When it ends, before the processor has pushed anything, both are compared.
Page tables are audited whenever they are switched or changed.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import firmware
import machine.events as machine_events
from enclave_sim import events
from enclave_sim.guarantees.report import hex_dump
from enclave_sim.guarantees.watchers.architecture import architecture_faults, kernel_faults
from enclave_sim.guarantees.watchers.page_tables import faults, staging
from enclave_sim.guarantees.watchers.watcher import Watcher
from enclave_sim.memory_map import region, region_at
from enclave_sim.recording.hex_lines import LINE_BYTES
from machine.bus.ram import PAGE_SIZE, RamImage
from machine.instructions.system.msrs import IA32_APIC_BASE, IA32_TSC_AUX

_CONTROL = ("cr0", "cr3", "cr4")
_MSRS = {"TSC_AUX": IA32_TSC_AUX, "APIC_BASE": IA32_APIC_BASE}
_TABLES = ("gdtr", "idtr", "ldtr", "tr")
_DEVICES = "a device, by so many accesses"
_CHANGED_BY_INPUT = frozenset(["memory_fault", "memory_write", "guest_replaced"])
"""Kinds of inputs that change memory."""


class IsolationWatcher(Watcher):
    """Compares memory and registers before and after each stay in ring 3."""

    NAME = "isolation"
    STATE = ("_before", "_audited", "_asked_for")

    def __init__(self) -> None:
        super().__init__()
        self._before: tuple[RamImage, dict[str, Any]] | None = None
        self._audited: set[bytes] = set()
        self._asked_for: int | None = None
        """The vector of an INT in ring 3 that is being delivered."""

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """See `Watcher`."""
        return {
            machine_events.RingTransition: self._ring_changed,
            machine_events.InterruptRaised: self._raised,
            machine_events.InterruptDelivered: self._delivered,
            machine_events.RegisterWritten: self._register_written,
            machine_events.Halted: self._halted,
            events.PhaseCompleted: self._phase_completed,
            events.InputTaken: self._input_taken,
        }

    def _ring_changed(self, event: machine_events.RingTransition) -> None:
        if event.to_ring == 3:
            self._audit(event.at_ns)
            for fault in architecture_faults(self.machine):
                self.find(fault, event.at_ns)
            self._before = self._foreign_memory(), self._privileged()
        elif self._before is not None:  # left without an interrupt, so that nothing was compared yet
            self._compare(event.at_ns)

    def _delivered(self, event: machine_events.InterruptDelivered) -> None:
        if self._asked_for not in (None, firmware.layout()["VECTOR_HOST_CALL"]) and event.vector == self._asked_for:
            self.find(f"ring 3 entered the kernel by INT {event.vector:#x}", event.at_ns)

    def _raised(self, event: machine_events.InterruptRaised) -> None:
        self._asked_for = event.vector if event.ring == 3 and event.source == "software" else None
        if event.ring == 3 and self._before is not None:
            self._compare(event.at_ns)

    def _input_taken(self, event: events.InputTaken) -> None:
        """Compare, then start again, because an input changes state that ring 3 must not change."""
        if self._before is not None:
            self._compare(event.at_ns, memory=event.input not in _CHANGED_BY_INPUT)
            self._before = self._foreign_memory(), self._privileged()

    def _register_written(self, event: machine_events.RegisterWritten) -> None:
        if event.register == "CR3" and self.machine.mode == "long":
            self._audit(event.at_ns)

    def _halted(self, event: machine_events.Halted) -> None:
        for fault in kernel_faults(self.machine):
            self.find(fault, event.at_ns)

    def _phase_completed(self, event: events.PhaseCompleted) -> None:
        self._audit(event.at_ns)

    # Page tables

    def _audit(self, at_ns: int) -> None:
        ram, cr3 = self.machine.ram, self.machine.cpu.registers.cr[3]
        tables = region("page_tables")
        digest = hashlib.sha256(cr3.to_bytes(8, "little") + ram.read(tables.base, tables.size)).digest()
        if digest in self._audited:
            return
        self._audited.add(digest)
        self.count("page tables")
        if not tables.base <= cr3 & -PAGE_SIZE < tables.end:
            self.find(f"CR3 {cr3:#x} is outside of the measured page tables", at_ns)
        found = faults(ram, cr3, staging() if self.native else None)
        if found:
            self.find(f"page tables at {cr3:#x}: {found[0]}", at_ns, tuple(found[1:]))

    # What ring 3 must not change

    def _foreign_memory(self) -> RamImage:
        """Return all nonzero memory outside the guest's regions."""
        return self.machine.ram.image(_guest_ranges())

    def _privileged(self) -> dict[str, Any]:
        """Return the registers and devices that only ring 0 may change."""
        machine, state = self.machine, self.machine.cpu.registers
        found: dict[str, Any] = {name.upper(): state.cr[int(name[2])] for name in _CONTROL}
        found |= {name.upper(): bytes(getattr(state, name)) for name in _TABLES}
        found |= {"EFER": state.efer, "FS base": state.fs.base, "GS base": state.gs.base}
        found |= {f"DR{number}": machine.cpu.debug.read(number) for number in (0, 1, 2, 3, 7)}
        found["MSRs"] = machine.msrs.kept
        found |= {name: machine.msrs.read(number) for name, number in _MSRS.items()}
        found["KERNEL_GS_BASE"] = machine.cpu.context.kernel_gs_base
        found["TSC offset"] = machine.cpu.time_stamp_counter.offset
        found[_DEVICES] = machine.bus.accesses
        return found

    def _compare(self, at_ns: int, *, memory: bool = True) -> None:
        """Compare with the state at entry, without `memory` if something other than ring 3 just changed it."""
        assert self._before is not None
        (foreign, privileged), self._before = self._before, None
        self.count("stays in ring 3")
        now = self._privileged()
        for name, before in privileged.items():
            if now[name] != before:
                self.find(f"ring 3 changed {name}", at_ns, (f"before {before}", f"now    {now[name]}"))
        if not memory:
            return
        changed = self.machine.ram.changed_pages(foreign, _guest_ranges())
        known = dict(_pages(foreign)) if changed else {}
        for page in changed:
            self._report(page, known.get(page, bytes(PAGE_SIZE)), at_ns)

    def _report(self, base: int, data: bytes, at_ns: int) -> None:
        ram = self.machine.ram
        now = ram.read(base, len(data))
        first = next(i for i in range(len(data)) if now[i] != data[i])
        address, shown = base + first, slice(first, first + LINE_BYTES)
        where = region_at(address)
        name = where.name if where is not None else "memory outside all regions"
        before, after = (hex_dump(address, content[shown])[0] for content in (data, now))
        self.find(f"ring 3 changed {name}", at_ns, (f"before {before}", f"now    {after}"))


def _guest_ranges() -> list[range]:
    return [range(region(name).base, region(name).end) for name in ("guest_stack", "heap")]


def _pages(image: RamImage) -> Iterator[tuple[int, bytes]]:
    for base, data in image.runs:
        for at in range(0, len(data), PAGE_SIZE):
            yield base + at, data[at : at + PAGE_SIZE]
