"""Checks of delivery before it enters a handler (SDM volume 3, 6.12 to 6.14), on a processor without a kernel.

Each failed check is another exception, which is delivered in turn. The EXT bit of its error code is set unless the
first was an INT instruction.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from machine.architecture.exceptions import DF, GP, NP, SS, TS, UD
from machine.events import Event, InterruptDelivered, InterruptRaised, Shutdown
from machine.interrupts.delivery import Delivery, Interrupt
from machine.journal import Journal
from machine.processor.cpu import FLAG_IF, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VM
from tests.machine.conftest import Log
from tests.machine.instructions.processor import (
    ABSENT_CODE,
    BEYOND,
    CODE_32,
    CODE_32_USER,
    CODE_64,
    CODE_64_USER,
    CONFORMING,
    DATA_0,
    DATA_1,
    KERNEL_STACK,
    LONG_AND_DEFAULT,
    SHORT_CODE,
    TASK,
    TSS,
    USER_STACK,
    Mode,
    Processor,
    entry,
    gate,
)

IDT, HANDLER, VECTOR, STATUS = 0x8000, 0x3_1000, 0x80, 2
NOT_CANONICAL = 1 << 47
INTERRUPT, TRAP, INTERRUPT_16 = 0xEE, 0xEF, 0xE6
LONG, PROTECTED = Mode.LONG, Mode.PROTECTED
IDT_ERROR = VECTOR * 8 + 2


@dataclass
class Ready:
    """A processor with all handlers, except those changed by a test."""

    processor: Processor
    log: Log

    @classmethod
    def of(cls, mode: Mode, ring: int = 0, gates: Mapping[int, bytes] | None = None, **given: Any) -> "Ready":
        processor = Processor(mode, ring, given.get("descriptors", {}))
        good = gate(CODE_64 if mode.long else CODE_32, HANDLER, INTERRUPT)
        width = 16 if mode.long else 8
        for vector in range(256):
            processor.ram.write(IDT + width * vector, (gates or {}).get(vector, good)[:width])
        processor.cpu.registers.idtr.load(0, IDT, 256 * width - 1, 0)
        return cls(processor, Log())

    def deliver(self, source: Any = "external", vector: int = VECTOR, error_code: int | None = None) -> list[Event]:
        cpu = self.processor.cpu
        delivery = Delivery(cpu, Journal(cpu.clock, self.log))
        delivery.deliver(Interrupt(vector, source, cpu.rip, error_code))
        return self.log.events

    def raised(self, source: Any = "external") -> list[tuple[int, int | None]]:
        """Vectors and error codes, in order."""
        return [(e.vector, e.error_code) for e in self.deliver(source) if isinstance(e, InterruptRaised)]


def both_sources(ready: Any, vector: int, error_code: int) -> None:
    """The failed check of a device's interrupt has EXT in its error code, that of an INT instruction has not."""
    assert ready().raised("external") == [(VECTOR, None), (vector, error_code | 1)]
    assert ready().raised("software") == [(VECTOR, None), (vector, error_code)]


@pytest.mark.parametrize(
    ("mode", "wrong", "vector", "error_code"),
    [
        (LONG, gate(CODE_64, HANDLER, 0xEC), GP, IDT_ERROR),  # a call gate
        (LONG, gate(CODE_64, HANDLER, 0xE5), GP, IDT_ERROR),  # a task gate, which that mode lacks
        (LONG, gate(CODE_64, HANDLER, 0x6E), NP, IDT_ERROR),
        (LONG, gate(CODE_64, NOT_CANONICAL, INTERRUPT), GP, 0),
        (LONG, gate(0, HANDLER, INTERRUPT), GP, 0),
        (LONG, gate(3, HANDLER, INTERRUPT), GP, 0),
        (LONG, gate(BEYOND, HANDLER, INTERRUPT), GP, BEYOND),
        (LONG, gate(DATA_0, HANDLER, INTERRUPT), GP, DATA_0),
        (LONG, gate(CODE_64_USER | 3, HANDLER, INTERRUPT), GP, CODE_64_USER),  # a less privileged handler
        (LONG, gate(ABSENT_CODE, HANDLER, INTERRUPT), NP, ABSENT_CODE),
        (LONG, gate(CODE_32, HANDLER, INTERRUPT), GP, CODE_32),
        (LONG, gate(LONG_AND_DEFAULT, HANDLER, INTERRUPT), GP, LONG_AND_DEFAULT),
        (PROTECTED, gate(CODE_32, HANDLER, 0xEC), GP, IDT_ERROR),
        (PROTECTED, gate(CODE_32, HANDLER, 0x6E), NP, IDT_ERROR),
        (PROTECTED, gate(0, HANDLER, INTERRUPT), GP, 0),
        (PROTECTED, gate(BEYOND, HANDLER, INTERRUPT), GP, BEYOND),
        (PROTECTED, gate(DATA_0, HANDLER, INTERRUPT), GP, DATA_0),
        (PROTECTED, gate(CODE_32_USER | 3, HANDLER, INTERRUPT), GP, CODE_32_USER),
        (PROTECTED, gate(ABSENT_CODE, HANDLER, INTERRUPT), NP, ABSENT_CODE),
        (PROTECTED, gate(SHORT_CODE, 0x1000, INTERRUPT), GP, 0),  # after its last byte
    ],
)
def test_a_gate_that_leads_nowhere(mode: Mode, wrong: bytes, vector: int, error_code: int) -> None:
    both_sources(lambda: Ready.of(mode, gates={VECTOR: wrong}), vector, error_code)


@pytest.mark.parametrize("mode", [LONG, PROTECTED])
def test_a_vector_has_to_lie_in_the_table_whole(mode: Mode) -> None:
    last = (16 if mode.long else 8) * (VECTOR + 1) - 1
    for limit, wanted in ((last, [(VECTOR, None)]), (last - 1, [(VECTOR, None), (GP, IDT_ERROR | 1)])):
        ready = Ready.of(mode)
        ready.processor.cpu.registers.idtr.limit = limit
        assert ready.raised() == wanted


@pytest.mark.parametrize("mode", [LONG, PROTECTED])
def test_only_int_is_held_to_the_gates_level(mode: Mode) -> None:
    code = CODE_64 if mode.long else CODE_32
    for source, wanted in (("software", [(VECTOR, None), (GP, IDT_ERROR)]), ("external", [(VECTOR, None)])):
        assert Ready.of(mode, 3, {VECTOR: gate(code, HANDLER, 0xCE)}).raised(source) == wanted


def test_a_stack_that_is_not_canonical_is_ss() -> None:
    """#SS is delivered on a stack of the interrupt stack table."""

    def ready() -> Ready:
        made = Ready.of(LONG, gates={SS: gate(CODE_64, HANDLER, INTERRUPT, parameters=1)})
        made.processor.cpu.registers.rsp = NOT_CANONICAL + 0x10
        made.processor.ram.write(TSS + 36, struct.pack("<Q", KERNEL_STACK))
        return made

    both_sources(ready, SS, 0)


def test_a_new_stack_that_is_not_canonical_is_ss() -> None:
    def ready() -> Ready:
        made = Ready.of(LONG, 3, {SS: gate(CODE_64, HANDLER, INTERRUPT, parameters=1)})
        made.processor.ram.write(TSS + 4, struct.pack("<Q", NOT_CANONICAL))
        made.processor.ram.write(TSS + 36, struct.pack("<Q", KERNEL_STACK))
        return made

    both_sources(ready, SS, 0)


def test_there_is_no_delivery_in_real_mode() -> None:
    ready = Ready.of(PROTECTED)
    ready.processor.cpu.registers.cr[0] = 0
    assert [type(event) for event in ready.deliver()] == [InterruptRaised, Shutdown]


def test_time_passes_where_handlers_are_entered_without_end() -> None:
    """The first of them and 16 more take no time; then each takes a nanosecond, until an instruction retires."""
    ready = Ready.of(LONG)
    cpu = ready.processor.cpu
    delivery = Delivery(cpu, Journal(cpu.clock, ready.log))
    times = []
    for _ in range(20):
        delivery.deliver(Interrupt(VECTOR, "external", cpu.rip))
        times.append(cpu.clock.now_ns)
    cpu.hook.retired += 1
    delivery.deliver(Interrupt(VECTOR, "external", cpu.rip))
    assert [time - times[0] for time in times] == [0] * 17 + [1, 2, 3]
    assert cpu.clock.now_ns - times[-1] == cpu.clock.ns_per_instruction


FLAGS = STATUS | FLAG_TF | FLAG_NT | FLAG_RF | FLAG_IF


@pytest.mark.parametrize("kind", [INTERRUPT, TRAP])
@pytest.mark.parametrize("mode", [LONG, PROTECTED])
def test_the_handler_begins_without_tf_nt_rf_and_vm_and_an_interrupt_gate_clears_if(mode: Mode, kind: int) -> None:
    """The frame has the original flags."""
    code = CODE_64 if mode.long else CODE_32
    ready = Ready.of(mode, gates={VECTOR: gate(code, HANDLER, kind)})
    ready.processor.cpu.rflags = FLAGS
    ready.deliver()
    assert ready.processor.cpu.rflags == STATUS | (FLAG_IF if kind == TRAP else 0)
    assert not ready.processor.cpu.rflags & FLAG_VM
    assert ready.processor.words(3, 8 if mode.long else 4)[2] == FLAGS


@pytest.mark.parametrize(
    ("source", "vector", "kept"),
    [("exception", UD, True), ("exception", 1, False), ("external", VECTOR, False), ("software", VECTOR, False)],
)
@pytest.mark.parametrize("mode", [LONG, PROTECTED])
def test_a_fault_pushes_rf_and_nothing_else_does(mode: Mode, source: str, vector: int, kept: bool) -> None:
    ready = Ready.of(mode)
    ready.deliver(source, vector)
    assert ready.processor.words(3, 8 if mode.long else 4)[2] == STATUS | (FLAG_RF if kept else 0)


@pytest.mark.parametrize("ring", [0, 3])
@pytest.mark.parametrize("error_code", [None, 0x1234])
def test_the_frame_of_64_bits(error_code: int | None, ring: int) -> None:
    """On a stack aligned to 16 bytes: the ring's, or the current one."""
    ready = Ready.of(LONG, ring)
    registers = ready.processor.cpu.registers
    registers.rsp -= 4
    before = (registers.rip, registers.cs.selector, STATUS, registers.rsp, registers.ss.selector)
    top = KERNEL_STACK if ring else registers.rsp & ~15
    ready.deliver(error_code=error_code)
    words = before if error_code is None else (error_code, *before)
    assert registers.rsp == top - 8 * len(words)
    assert ready.processor.words(len(words)) == words
    assert (registers.rip, registers.cs.selector, registers.cpl) == (HANDLER, CODE_64, 0)
    assert registers.ss.selector == (0 if ring else DATA_0)


@pytest.mark.parametrize(("kind", "size"), [(INTERRUPT, 4), (INTERRUPT_16, 2)])
@pytest.mark.parametrize("ring", [0, 3])
@pytest.mark.parametrize("error_code", [None, 0x1234])
def test_the_frame_of_protected_mode(error_code: int | None, ring: int, kind: int, size: int) -> None:
    """The gate determines the word size. A change of ring also pushes the old stack."""
    ready = Ready.of(PROTECTED, ring, {VECTOR: gate(CODE_32, 0x1234, kind)})
    registers = ready.processor.cpu.registers
    words = [registers.rip, registers.cs.selector, STATUS]
    words += [registers.rsp, registers.ss.selector] if ring else []
    words = words if error_code is None else [error_code, *words]
    ready.deliver(error_code=error_code)
    assert registers.rsp == KERNEL_STACK - size * len(words)
    assert list(ready.processor.words(len(words), size)) == [word & (1 << 8 * size) - 1 for word in words]
    assert (registers.rip, registers.cpl, registers.ss.selector) == (0x1234, 0, DATA_0)


@pytest.mark.parametrize("mode", [LONG, PROTECTED])
def test_a_conforming_handler_keeps_the_ring_and_its_stack(mode: Mode) -> None:
    ready = Ready.of(mode, 3, {VECTOR: gate(CONFORMING, HANDLER, INTERRUPT)})
    ready.deliver()
    registers = ready.processor.cpu.registers
    assert (registers.cs.selector, registers.cpl) == (CONFORMING | 3, 3)
    assert USER_STACK - 64 < registers.rsp < USER_STACK


# The stack of a more privileged ring in protected mode


@pytest.mark.parametrize("level", [0, 1])
def test_a_tss_of_16_bits_has_the_stack_in_words(level: int) -> None:
    code, stack = entry(0x9B | level << 5), DATA_1 if level else DATA_0
    ready = Ready.of(PROTECTED, 3, {VECTOR: gate(CODE_32, HANDLER, INTERRUPT)}, descriptors={CODE_32: code})
    registers = ready.processor.cpu.registers
    registers.tr.load(TASK, TSS, 2 + 4 * (level + 1) - 1, 0x8100)
    ready.processor.ram.write(TSS + 2 + 4 * level, struct.pack("<HH", 0x9000 + level, stack | level))
    ready.deliver()
    assert (registers.cpl, registers.ss.selector) == (level, stack | level)
    assert registers.rsp == 0x9000 + level - 20


@pytest.mark.parametrize(("flags", "limit"), [(0x8200, 0x67), (0x8100, 4), (0x8900, 8)])
@pytest.mark.parametrize("rpl", [0, 1, 2])
def test_a_tss_that_has_no_such_stack_is_ts(flags: int, limit: int, rpl: int) -> None:
    """It is none, or ends before it. #TS finds no stack either, so it is a double fault, and that a third one.

    The error code has EXT and IDT where the selector has its RPL (6.13).
    """
    ready = Ready.of(PROTECTED, 3)
    ready.processor.cpu.registers.tr.load(TASK | rpl, TSS, limit, flags)
    events = ready.deliver()
    assert [(e.vector, e.error_code) for e in events if isinstance(e, InterruptRaised)] == [
        (VECTOR, None),
        (TS, TASK | 1),
        (DF, 0),
    ]
    assert isinstance(events[-1], Shutdown)
    assert not any(isinstance(event, InterruptDelivered) for event in events)
