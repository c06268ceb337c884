"""INT and IRETQ that native code executes without Python, while nothing has changed that decided about them.

Python alone has the rules: delivery.py, and machine/instructions/segmentation/interrupt_return.py. After one has been
applied, this notes what decided about its result, and the result; native/known.h compares the one and copies the other.
Notes hold host addresses, so they are not used from a change of any address translation until Python has executed
another transition, and has seen that their own translations are as they were.
"""

import ctypes
import struct
from collections.abc import Iterable

import msgspec

from machine.architecture.descriptors import gate_64
from machine.architecture.processor_state import HFLAG_CODE_64, ProcessorState, SegmentRegister
from machine.bus.ram import PAGE_SIZE
from machine.instructions.segmentation.interrupt_return import loaded_flags
from machine.interrupts.delivery import cleared_flags, stack_pointer_offset
from machine.processor.cpu import Cpu

_SEGMENTS, _TABLES, _WORDS = 6, 4, 4
_FRAME = struct.Struct("<5Q")
_LOCAL, _RSP = 4, 4


class KnownTransition(ctypes.Structure):
    """`struct transition` of known.h, which explains the fields."""

    _fields_ = [
        *[(name, ctypes.c_uint64) for name in ("vector", "hflags", "hflags_after")],
        ("segments", SegmentRegister * _SEGMENTS),
        ("segments_after", SegmentRegister * _SEGMENTS),
        ("tables", SegmentRegister * _TABLES),
        *[(name, ctypes.c_uint64) for name in ("cr0", "cr4", "efer")],
        ("place", ctypes.c_uint64 * _WORDS),
        ("content", ctypes.c_uint64 * _WORDS),
        *[(name, ctypes.c_uint64) for name in ("page", "host", "fetched", "stack", "handler", "selector", "outer")],
        *[(name, ctypes.c_uint64) for name in ("flags", "watched", "uses")],
    ]


class Before(msgspec.Struct, frozen=True, gc=False):
    """The state before an INT or IRETQ that will be noted."""

    registers: ProcessorState
    rflags: int


class _Kept:
    """A note, which holds while its pages are mapped as they were."""

    def __init__(self, field: str, *, writes: bool) -> None:
        self.writes = writes
        """True for INT, which writes its frame."""
        self.field = field
        """The field of `HookState` that refers to the note while it holds."""
        self.note = KnownTransition()
        self.pages: dict[int, int] = {}
        """Linear and physical addresses of the pages that native code accesses; empty if there is no note."""
        self._missed = 0, 0, 0
        self._misses, self._patience, self._uses = 0, 1, -1

    def is_missed_again(self, which: int, hflags: int) -> bool:
        """Report whether Python has executed enough transitions like this one, in a row, to note it.

        Noting takes longer than executing. So if a note was replaced before it was used, the next needs twice as many.

        Args:
            which: What tells one from another.
            hflags: QEMU's `hflags`.

        Returns:
            True if it is worth while.
        """
        missed = which, hflags, self.note.uses
        self._misses = self._misses + 1 if missed == self._missed else 0
        self._missed = missed
        if self._misses < self._patience:
            return False
        self._patience = 2 * self._patience if self.note.uses == self._uses else 1
        self._misses, self._uses = 0, self.note.uses
        return True


class KnownTransitions:
    """The noted transitions of one processor: at most one INT and one IRETQ. Without native code there are none."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu
        self._interrupt, self._return = _Kept("known_interrupt", writes=True), _Kept("known_return", writes=False)
        self._native = cpu.engine.native
        self._delivered = 0
        """The number of uses of the noted INT when the last one came."""
        self._fetched = (ctypes.c_uint8 * len(cpu.ram.fetched_pages)).from_buffer(cpu.ram.fetched_pages)
        if self._native:
            cpu.memory.on_change = cpu.ram.on_watch = cpu.callbacks.on_watch = self.suspend

    def suspend(self) -> None:
        """Do not use the notes now, because a translation has changed, or somebody begins to observe memory."""
        hook = self._cpu.hook
        hook.known_interrupt = hook.known_return = None

    def forget(self) -> None:
        """Forget all notes, because other actions will be watched after them."""
        self.suspend()
        for kept in (self._interrupt, self._return):
            kept.pages = {}

    def before_interrupt(self, vector: int) -> Before | None:
        """Return the state before an INT, for `note_interrupt`; None if it will not be noted."""
        uses, self._delivered = self._delivered, self._interrupt.note.uses
        if not self._native or uses != self._delivered:  # the last one was known, and so will be this one
            return None
        return self._before(self._interrupt, vector)

    def before_return(self) -> Before | None:
        """Return the state before an IRETQ, for `note_return`; None if it will not be noted."""
        return self._before(self._return, self._cpu.registers.rsp & -PAGE_SIZE) if self._native else None

    def _before(self, kept: _Kept, which: int) -> Before | None:
        registers = self._cpu.registers
        if not registers.hflags & HFLAG_CODE_64 or not kept.is_missed_again(which, registers.hflags):
            return None
        return Before(ProcessorState.from_buffer_copy(registers), self._cpu.hook.rflags)

    def _resume(self, kept: _Kept) -> None:
        """Use a note again, if its pages are mapped as they were: whether it applies is for native code to see."""
        known = self._cpu.memory.known
        if (
            getattr(self._cpu.hook, kept.field) is None
            and kept.pages
            and all(known(page) == physical for page, physical in kept.pages.items())
        ):
            self._use(kept)

    def _use(self, kept: _Kept) -> None:
        cpu, frame = self._cpu, kept.note.host - self._cpu.ram.host_address
        observed = cpu.ram.is_watched(range(frame, frame + PAGE_SIZE)) or cpu.callbacks.watchers
        if not observed and cpu.memory.known(kept.note.page, write=kept.writes) == frame:
            setattr(cpu.hook, kept.field, ctypes.addressof(kept.note))

    def note_interrupt(self, before: Before | None, vector: int) -> None:
        """Note the INT that has been delivered, unless its delivery was unusual."""
        if before is None:
            self._resume(self._interrupt)
            return
        registers, old = self._cpu.registers, before.registers
        at = old.idtr.base + vector * 16
        words = self._words([at, at + 8])
        if words is None:
            return
        gate = gate_64(struct.pack("<QQ", *words.values()))
        places = [*words, old.gdtr.base + (gate.selector & ~7)]
        offset = stack_pointer_offset(gate, registers.cpl, old.cpl)
        if offset is not None:
            places.append(old.tr.base + offset)
        words = self._words(places)
        if words is None or gate.selector & _LOCAL:
            return
        stack = 0 if offset is None else words[places[-1]] & ~0xF
        frame = (stack or old.rsp & ~0xF) - _FRAME.size
        expected = old.rip, old.cs.selector, before.rflags, old.rsp, old.ss.selector
        cleared = cleared_flags(gate)
        reached = registers.rip, registers.rsp, self._cpu.hook.rflags, self._frame(frame)
        wanted = gate.handler, frame, before.rflags & ~cleared, expected
        if reached != wanted or (offset is not None and not stack) or _others(registers) != _others(old):
            return
        note = self._interrupt.note
        if self._note(self._interrupt, before, words, frame):
            note.vector, note.stack, note.handler, note.flags = vector, stack, gate.handler, cleared
            self._use(self._interrupt)

    def note_return(self, before: Before | None) -> None:
        """Note the IRETQ of ring 0 that has been executed, unless it was unusual."""
        if before is None:
            self._resume(self._return)
            return
        frame = self._frame(before.registers.rsp)
        if frame is None or before.registers.cpl:
            return
        registers, old = self._cpu.registers, before.registers
        rip, selector, flags, rsp, outer = frame
        loaded = loaded_flags(before.rflags, 0, 8)
        expected = rip, selector, before.rflags & ~loaded | flags & loaded, rsp, outer
        reached = registers.rip, registers.cs.selector, self._cpu.hook.rflags, registers.rsp, registers.ss.selector
        places = [old.gdtr.base + (one & ~7) for one in (selector, outer) if one & ~3]
        words = self._words(places)
        if words is None or (selector | outer) & _LOCAL or reached != expected or _others(registers) != _others(old):
            return
        note = self._return.note
        if self._note(self._return, before, words, old.rsp):
            note.selector, note.outer, note.flags = selector, outer, loaded
            self._use(self._return)

    def _note(self, kept: _Kept, before: Before, words: dict[int, int], frame: int) -> bool:
        """Note what both have in common. Return False if the mode has changed, or if the frame overlaps a word."""
        cpu, registers, old = self._cpu, self._cpu.registers, before.registers
        page = frame & -PAGE_SIZE
        physical = self._physical(page)
        begins = physical + frame - page
        apart = all(not begins - 8 < self._physical(place) < begins + _FRAME.size for place in words)
        if physical < 0 or not apart or not registers.hflags & HFLAG_CODE_64:
            return False
        places = {place: self._physical(place) for place in words}
        kept.pages = {place & -PAGE_SIZE: at & -PAGE_SIZE for place, at in {page: physical, **places}.items()}
        note = kept.note
        note.hflags, note.hflags_after, note.watched = old.hflags, registers.hflags, cpu.hook.watched
        for field, raw in (
            (note.segments, old.segment_registers),
            (note.segments_after, registers.segment_registers),
            (note.tables, old.table_registers),
        ):
            ctypes.memmove(field, raw, len(raw))
        note.cr0, note.cr4, note.efer = old.cr[0], old.cr[4], old.efer
        unused = _WORDS - len(words)
        note.place[:] = [cpu.ram.host_address + at for at in places.values()] + [0] * unused
        note.content[:] = [*words.values(), *[0] * unused]
        note.page, note.host = page, cpu.ram.host_address + physical
        note.fetched = ctypes.addressof(self._fetched) + physical // PAGE_SIZE
        return True

    def _words(self, places: Iterable[int]) -> dict[int, int] | None:
        """Return the 8 bytes at each linear address; None if native code cannot read them in one piece."""
        found = {}
        for place in places:
            physical = self._physical(place)
            if physical < 0:
                return None
            found[place] = int.from_bytes(self._cpu.ram.view[physical : physical + 8], "little")
        return found

    def _physical(self, address: int, size: int = 8) -> int:
        """Translate an address as long as its page is cached and its bytes are in one page of RAM; else return -1."""
        offset, page = address % PAGE_SIZE, self._cpu.memory.known(address)
        if page is None or offset + size > PAGE_SIZE or page >= self._cpu.ram.size:
            return -1
        return page + offset

    def _frame(self, address: int) -> tuple[int, ...] | None:
        physical = self._physical(address, _FRAME.size)
        return None if physical < 0 else _FRAME.unpack(self._cpu.ram.view[physical : physical + _FRAME.size])


def _others(registers: ProcessorState) -> tuple[int, ...]:
    """Return the general registers but RSP."""
    values = registers.general_registers
    return values[:_RSP] + values[_RSP + 1 :]
