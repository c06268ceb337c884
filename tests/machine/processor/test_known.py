"""native/known.h on every architecture: it repeats what is noted, and only that."""

import ctypes
import struct
from collections.abc import Callable
from typing import Any

import pytest

from machine.architecture.processor_state import HFLAG_CODE_64, HFLAG_INTERRUPTS_INHIBITED, ProcessorState
from machine.architecture.saved_context import X87_BYTES
from machine.instructions.floating_point.runs import KnownRun
from machine.interrupts.known_transitions import KnownTransition
from machine.processor.native.build import ARCHITECTURES
from machine.processor.step_hook import NEVER, PAGES, HookState, Stop
from tests.machine.native_code import BYTES, RAM, STATE, Blob

PARTS = struct.Struct("<QIB3xiiQ")
CR2, MXCSR, RAISED, MET, OLD_EXCEPTION = 0, 8, 12, 16, 40
NOTE, X87, FETCHED, PLACE, STACK_PAGE, CODE_PAGE = (RAM + 0x1000 * number for number in range(1, 7))
RIP, HANDLER, RSP, VECTOR, STACK = 0x7000_0010, 0x4000, 0x9810, 0x80, 0x9FF0
CS, SS, NEW_CS, NEW_SS, RFLAGS, WATCHED = 0x23, 0x1B, 8, 0x10, 0x246, 77
RUN = bytes.fromhex("dbe3d9eedbe3")
BLOBS = {architecture: Blob(architecture) for architecture in ARCHITECTURES}
Change = Callable[["Stopped"], Any]


class Stopped:
    """A processor at a stop that is known."""

    def __init__(self, architecture: str) -> None:
        self.blob = BLOBS[architecture]
        self.registers = ProcessorState(hflags=HFLAG_CODE_64 | 3, rip=RIP, rsp=RSP, efer=0x500)
        self.registers.cs.selector, self.registers.ss.selector = CS, SS
        self.registers.idtr.base, self.registers.cr[0], self.registers.cr[4] = 0x8000, 0x8001_0001, 0x20
        self.state = HookState(pause=NEVER, deadline=NEVER, breakpoint=NEVER, rflags=RFLAGS, vector=VECTOR)
        for name, at in (("cr2", CR2), ("mxcsr_now", MXCSR), ("simd_raised", RAISED), ("met", MET)):
            setattr(self.state, name, BYTES + at)
        self.state.old_exception, self.state.x87 = BYTES + OLD_EXCEPTION, X87
        self.memory = {FETCHED: b"\0", PLACE: struct.pack("<Q", 0x1234), X87: bytes(X87_BYTES)}

    def note(self, **fields: int) -> KnownTransition:
        """A note of what these registers would do."""
        after = ProcessorState.from_buffer_copy(self.registers)
        after.cs.selector, after.ss.selector = NEW_CS, NEW_SS
        note = KnownTransition(hflags=self.registers.hflags, hflags_after=HFLAG_CODE_64, efer=0x500, **fields)
        note.cr0, note.cr4, note.watched = self.registers.cr[0], self.registers.cr[4], WATCHED
        for name, raw in (
            ("segments", self.registers.segment_registers),
            ("segments_after", after.segment_registers),
            ("tables", self.registers.table_registers),
        ):
            ctypes.memmove(ctypes.addressof(note) + getattr(KnownTransition, name).offset, raw, len(raw))
        note.place[2], note.content[2] = PLACE, 0x1234
        note.host, note.fetched = STACK_PAGE, FETCHED
        return note

    def enter(self, reason: Stop, note: ctypes.Structure, second: Stop = Stop.DEADLINE) -> int:
        """Enter the engine, which stops with one reason, then with another."""
        self.memory[NOTE] = bytes(note)
        reasons = iter([reason, second])

        def start() -> int:
            for at, content in self.memory.items():
                self.blob.uc.mem_write(at, content)
            self.memory.clear()
            self.blob.uc.mem_write(STATE + HookState.reason.offset, struct.pack("<Q", next(reasons)))  # type: ignore[attr-defined]
            return 0

        parts = PARTS.pack(0, 0x1F80, 0, 0, 0, 0)
        return self.blob.enter(self.state, self.registers, parts.ljust(64, b"\0"), start)

    def words(self, at: int, count: int = 5) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.blob.uc.mem_read(at, 8 * count))


def set_to(part: str, name: str, value: int) -> Change:
    return lambda stopped: setattr(getattr(stopped, part), name, value)


def put(at: int, content: bytes) -> Change:
    return lambda stopped: stopped.memory.__setitem__(at, content)


COMMON: dict[str, Change] = {
    "hflags": set_to("registers", "hflags", HFLAG_CODE_64 | 3 | HFLAG_INTERRUPTS_INHIBITED),
    "efer": set_to("registers", "efer", 0xD00),
    "CR0": lambda stopped: stopped.registers.cr.__setitem__(0, 0x8001_0003),
    "CR4": lambda stopped: stopped.registers.cr.__setitem__(4, 0x0020_0020),
    "a segment": lambda stopped: setattr(stopped.registers.gs, "base", 1),
    "a table": lambda stopped: setattr(stopped.registers.idtr, "limit", 1),
    "a descriptor": put(PLACE, struct.pack("<Q", 0x1235)),
}


def interrupt(stopped: Stopped, change: Change | None = None, **fields: int) -> bool:
    given = {"vector": VECTOR, "page": STACK & -4096, "handler": HANDLER, "flags": 0x200, "stack": STACK} | fields
    note = stopped.note(**given)
    stopped.state.known_interrupt = NOTE
    if change is not None:
        change(stopped)
    stopped.memory[NOTE] = bytes(note)
    for at, content in stopped.memory.items():
        stopped.blob.uc.mem_write(at, content)
    return stopped.blob.deliver_known(stopped.state, stopped.registers)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("stack", "top"), [(STACK, STACK), (0, RSP)])
def test_a_known_int_is_delivered(architecture: str, stack: int, top: int) -> None:
    stopped = Stopped(architecture)
    assert interrupt(stopped, stack=stack)
    registers, state = stopped.registers, stopped.state
    assert stopped.words(STACK_PAGE + (top - 40) % 4096) == (RIP, CS, RFLAGS, RSP, SS)
    assert (registers.rip, registers.rsp, state.rflags) == (HANDLER, top - 40, RFLAGS & ~0x200)
    assert (registers.cs.selector, registers.ss.selector, registers.hflags) == (NEW_CS, NEW_SS, HFLAG_CODE_64)
    assert (state.left_ring, state.watched) == (3, WATCHED)


INTERRUPT_CHANGES = COMMON | {
    "another vector": set_to("state", "vector", VECTOR + 1),
    "code in the page of the stack": put(FETCHED, b"\1"),
    "nothing known": set_to("state", "known_interrupt", 0),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("change", INTERRUPT_CHANGES)
def test_another_int_is_left_to_python(architecture: str, change: str) -> None:
    stopped = Stopped(architecture)
    assert not interrupt(stopped, INTERRUPT_CHANGES[change])
    assert (stopped.registers.rip, stopped.registers.rsp) == (RIP, RSP)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("rsp", [0x8FF0, 0x9010, 0x9020, 0xA020, RSP + 8192])
def test_a_frame_of_int_outside_the_noted_page_is_left_to_python(architecture: str, rsp: int) -> None:
    stopped = Stopped(architecture)
    stopped.registers.rsp = rsp
    assert not interrupt(stopped, stack=0)


def iretq(stopped: Stopped, change: Change | None = None, code: bytes = b"\x48\xcf") -> int:
    note = stopped.note(page=RSP & -4096, flags=0x200, selector=NEW_CS, outer=NEW_SS)
    stopped.state.known_return, stopped.state.code_size = NOTE, len(code)
    stopped.state.code[: len(code)] = list(code)
    stopped.memory[STACK_PAGE + RSP % 4096] = struct.pack("<5Q", 0x5000, NEW_CS, 0xCFF, 0x6000, NEW_SS)
    if change is not None:
        change(stopped)
    return stopped.enter(Stop.WATCHED_INSTRUCTION, note)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_known_iretq_is_executed(architecture: str) -> None:
    stopped = Stopped(architecture)
    assert iretq(stopped) == Stop.RETURNED
    registers, state = stopped.registers, stopped.state
    assert (registers.rip, registers.rsp, state.rflags) == (0x5000, 0x6000, RFLAGS & ~0x200)
    assert (registers.cs.selector, registers.ss.selector, registers.hflags) == (NEW_CS, NEW_SS, HFLAG_CODE_64)
    assert (state.retired, state.last, state.left_ring, state.watched) == (1, RIP, 3, WATCHED)


def frame(rip: int = 0x5000, cs: int = NEW_CS, ss: int = NEW_SS) -> Change:
    return put(STACK_PAGE + RSP % 4096, struct.pack("<5Q", rip, cs, 0xCFF, 0x6000, ss))


RETURN_CHANGES = COMMON | {
    "a deadline": set_to("state", "deadline", 1),
    "TF": set_to("state", "rflags", RFLAGS | 0x100),
    "NT": set_to("state", "rflags", RFLAGS | 0x4000),
    "an address that is not canonical": frame(rip=1 << 47),
    "another CS": frame(cs=0x33),
    "another SS": frame(ss=0x33),
    "half an instruction": set_to("state", "code_size", 1),
    "another page": set_to("registers", "rsp", RSP + 4096),
    "a frame across a boundary": set_to("registers", "rsp", 0x9FE0),
    "a frame that is not aligned": set_to("registers", "rsp", RSP + 1),
    "nothing known": set_to("state", "known_return", 0),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("change", RETURN_CHANGES)
def test_another_iretq_is_left_to_python(architecture: str, change: str) -> None:
    stopped = Stopped(architecture)
    assert iretq(stopped, RETURN_CHANGES[change]) == Stop.WATCHED_INSTRUCTION
    assert (stopped.registers.rip, stopped.state.retired) == (RIP, 0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("code", ["40cf", "48cb"])
def test_only_iretq_returns(architecture: str, code: str) -> None:
    assert iretq(Stopped(architecture), code=bytes.fromhex(code)) == Stop.WATCHED_INSTRUCTION


def x87(stopped: Stopped, change: Change | None = None) -> int:
    note = KnownRun(rip=RIP, selector=CS, size=len(RUN))
    note.code[: len(RUN)] = list(RUN)
    note.after[:] = [9] * X87_BYTES
    stopped.state.known_run = NOTE
    known = (RIP >> 12) % PAGES * 2
    stopped.state.pages[known], stopped.state.pages[known + 1] = RIP >> 12 | 1 << 63, CODE_PAGE
    stopped.memory[CODE_PAGE + RIP % 4096] = RUN
    stopped.registers.hflags |= HFLAG_INTERRUPTS_INHIBITED
    stopped.state.rflags |= 1 << 16
    if change is not None:
        change(stopped)
    return stopped.enter(Stop.WATCHED_INSTRUCTION, note)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_known_run_is_executed_and_the_engine_continues(architecture: str) -> None:
    stopped = Stopped(architecture)
    assert x87(stopped) == Stop.DEADLINE
    assert bytes(stopped.blob.uc.mem_read(X87, X87_BYTES)) == bytes([9] * X87_BYTES)
    assert (stopped.registers.rip, stopped.state.retired, stopped.state.last) == (RIP + 6, 3, RIP + 4)
    assert stopped.registers.hflags == HFLAG_CODE_64 | 3
    assert not stopped.state.rflags & 1 << 16
    assert stopped.blob.asked == [(RIP, 0), (RIP + 6, 0)]


RUN_CHANGES: dict[str, Change] = {
    "another address": set_to("registers", "rip", RIP + 2),
    "other code": put(CODE_PAGE + RIP % 4096, RUN[:-1] + b"\xe2"),
    "another state": put(X87, bytes(X87_BYTES - 1) + b"\1"),
    "another CS": lambda stopped: setattr(stopped.registers.cs, "selector", CS + 8),
    "an unknown page": lambda stopped: stopped.state.pages.__setitem__((RIP >> 12) % PAGES * 2, 0),
    "EM": lambda stopped: stopped.registers.cr.__setitem__(0, 4),
    "TS": lambda stopped: stopped.registers.cr.__setitem__(0, 8),
    "TF": set_to("state", "rflags", RFLAGS | 0x100),
    "a deadline": set_to("state", "deadline", 2),
    "a breakpoint": set_to("state", "breakpoint", RIP + 4),
    "a wish to see IF": set_to("state", "watch_if", 1),
    "an address to stop at": set_to("state", "addresses", 1),
    "a flow to stop at": set_to("state", "flow", 1),
    "breakpoints in debug registers": set_to("state", "debugging", 1),
    "32-bit code": set_to("registers", "hflags", 0),
    "nothing known": set_to("state", "known_run", 0),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("change", RUN_CHANGES)
def test_another_run_is_left_to_python(architecture: str, change: str) -> None:
    stopped = Stopped(architecture)
    before = stopped.registers.rip
    assert x87(stopped, RUN_CHANGES[change]) == Stop.WATCHED_INSTRUCTION
    assert (stopped.registers.rip - before) % 4096 in (0, 2)
    assert stopped.state.retired == 0
