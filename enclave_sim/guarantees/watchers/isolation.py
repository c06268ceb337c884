"""Isolated: no code in ring 3 changes a byte outside the guest's regions, or a control register.

Each stay in ring 3 is bracketed. When it begins, all memory outside the guest's regions is copied, with the registers
and devices that only the kernel may change. When it ends, before the processor has pushed anything, both are compared.
Page tables are audited whenever they are switched or changed.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import msgspec

import firmware
import machine.events as machine_events
from enclave_sim import events
from enclave_sim.guarantees.report import hex_dump
from enclave_sim.guarantees.watchers.architecture import architecture_faults, kernel_faults
from enclave_sim.guarantees.watchers.page_tables import faults
from enclave_sim.guarantees.watchers.watcher import Watcher
from enclave_sim.memory_map import GUEST_MEMORY, read_by_guests, region, region_at
from enclave_sim.recording.hex_lines import LINE_BYTES
from enclave_sim.specification import EngineName
from machine.bus.ram import PAGE_SIZE, Ram, RamImage
from machine.instructions.system.msrs import IA32_APIC_BASE, IA32_TSC_AUX

_MSRS = (IA32_TSC_AUX, IA32_APIC_BASE)
_TABLES = ("LDTR", "TR", "GDTR", "IDTR")
"""In the order of `ProcessorState.table_registers`."""
_CHANGED_BY_INPUT = frozenset(["memory_fault", "memory_write", "guest_replaced"])
"""Kinds of inputs that change memory."""
_known: dict[tuple[bytes, EngineName], tuple[str, ...]] = {}
"""Faults of page tables by the digest of their content, for all runs of this process."""
_MOST_KNOWN = 64
_CHANGES_REGISTERS = "hardware_fault"
"""The kind of input that changes what only ring 0 may change."""


class _Privileged(msgspec.Struct, frozen=True):
    """Registers and devices that only ring 0 may change."""

    cr0: int
    cr3: int
    cr4: int
    tables: bytes
    efer: int
    fs_base: int
    gs_base: int
    breakpoints: tuple[int, ...]
    """DR0 to DR3, and DR7."""
    msrs: dict[int, int]
    other_msrs: tuple[int, ...]
    """In the order of `_MSRS`."""
    kernel_gs_base: int
    tsc_offset: int
    accesses: int

    def by_name(self) -> Iterator[tuple[str, Any]]:
        """Yield each register or device with its name in a finding."""
        yield from (("CR0", self.cr0), ("CR3", self.cr3), ("CR4", self.cr4))
        size = len(self.tables) // len(_TABLES)
        yield from ((name, self.tables[n * size : (n + 1) * size]) for n, name in enumerate(_TABLES))
        yield from (("EFER", self.efer), ("FS base", self.fs_base), ("GS base", self.gs_base))
        yield from zip(("DR0", "DR1", "DR2", "DR3", "DR7"), self.breakpoints, strict=True)
        yield "MSRs", self.msrs
        yield from zip(("TSC_AUX", "APIC_BASE"), self.other_msrs, strict=True)
        yield from (("KERNEL_GS_BASE", self.kernel_gs_base), ("TSC offset", self.tsc_offset))
        yield "a device, by so many accesses", self.accesses


class IsolationWatcher(Watcher):
    """Compares memory and registers before and after each stay in ring 3."""

    NAME = "isolation"
    STATE = ("_before", "_foreign", "_audited", "_last_audit", "_asked_for")

    def __init__(self) -> None:
        super().__init__()
        self._before: tuple[RamImage, _Privileged] | None = None
        self._foreign = RamImage(())
        """The memory at the last entry to ring 3. The next copy shares what is the same."""
        self._audited: set[bytes] = set()
        self._last_audit: tuple[int, bytes] | None = None
        """CR3, and the page tables, that were audited last."""
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
            if event.input != _CHANGES_REGISTERS:
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
        tables, last = region("page_tables"), self._last_audit
        if last is not None and last[0] == cr3 and ram.equals(tables.base, last[1]):
            return
        content = ram.read(tables.base, tables.size)
        self._last_audit = cr3, content
        digest = hashlib.sha256(cr3.to_bytes(8, "little") + content).digest()
        if digest in self._audited:
            return
        self._audited.add(digest)
        self.count("page tables")
        if not tables.base <= cr3 & -PAGE_SIZE < tables.end:
            self.find(f"CR3 {cr3:#x} is outside of the measured page tables", at_ns)
        found = self._faults(ram, cr3, digest)
        if found:
            self.find(f"page tables at {cr3:#x}: {found[0]}", at_ns, found[1:])

    def _faults(self, ram: Ram, cr3: int, digest: bytes) -> tuple[str, ...]:
        """Return the faults of page tables, which depend on nothing else if all tables are in their region."""
        key, within = (digest, self.engine), region("page_tables").pages
        if key not in _known:
            tables: set[int] = set()
            found = tuple(faults(ram, cr3, read_by_guests(self.engine), tables))
            if not all(table in within for table in tables):
                return found
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[key] = found
        return _known[key]

    # What ring 3 must not change

    def _foreign_memory(self) -> RamImage:
        """Return all nonzero memory outside the guest's regions."""
        self._foreign = self.machine.ram.image(_guest_ranges(), like=self._foreign)
        return self._foreign

    def _privileged(self) -> "_Privileged":
        """Return the registers and devices that only ring 0 may change."""
        machine, state = self.machine, self.machine.cpu.registers
        cr, cpu = state.cr, machine.cpu
        return _Privileged(
            cr[0],
            cr[3],
            cr[4],
            state.table_registers,
            state.efer,
            state.fs.base,
            state.gs.base,
            cpu.debug.breakpoints,
            machine.msrs.kept,
            tuple(machine.msrs.read(number) for number in _MSRS),
            cpu.context.kernel_gs_base,
            cpu.time_stamp_counter.offset,
            machine.bus.accesses,
        )

    def _compare(self, at_ns: int, *, memory: bool = True) -> None:
        """Compare with the state at entry, without `memory` if something other than ring 3 just changed it."""
        assert self._before is not None
        (foreign, privileged), self._before = self._before, None
        self.count("stays in ring 3")
        now = self._privileged()
        if now != privileged:
            after = dict(now.by_name())
            for name, before in privileged.by_name():
                if after[name] != before:
                    self.find(f"ring 3 changed {name}", at_ns, (f"before {before}", f"now    {after[name]}"))
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


@cache
def _guest_ranges() -> tuple[range, ...]:
    return tuple(range(region(name).base, region(name).end) for name in GUEST_MEMORY)


def _pages(image: RamImage) -> Iterator[tuple[int, bytes]]:
    for base, data in image.runs:
        for at in range(0, len(data), PAGE_SIZE):
            yield base + at, data[at : at + PAGE_SIZE]
