"""INT and IRETQ that native code executes: nobody can tell, whatever changes between two of them."""

from collections import Counter
from typing import Any
from unittest.mock import patch

import pytest

from machine.bus.writer import INTERRUPT_DELIVERY, Writer
from machine.events import InterruptDelivered, InterruptRaised
from machine.execution.deferred_signals import SignalsHeld
from machine.machine import Machine, Outcome
from machine.processor.step_hook import Stop
from tests.machine.booted import booted
from tests.machine.whole_state import everything, ram

LIMIT_NS = 20_000


def interrupts(count: int = 4) -> str:
    """INT 80H in a loop, each with its IRETQ."""
    return f"movl ${count}, %ebx; 1: leaq 2f(%rip), %r15; int $0x80; 2: decl %ebx; jnz 1b;"


def returns(flags: str = "$2", code: str = "$8", stack: str = "$0x10", to: str = "2f(%rip)") -> str:
    """IRETQ in a loop."""
    frame = f"pushq {stack}; pushq %rax; pushq {flags}; pushq {code}; leaq {to}, %rdx; pushq %rdx"
    return f"movl $4, %ebx; 1: movq %rsp, %rax; {frame}; iretq; 2: decl %ebx; jnz 1b;"


def executed_natively(machine: Machine) -> tuple[int, int]:
    """Run to the end. Returns how many INT and how many IRETQ native code has executed."""
    engine, counts = machine.cpu.engine, Counter[str]()
    execute, deliver = engine.execute, engine.deliver_known

    def counting() -> Stop:
        stop = execute()
        counts["returned"] += stop is Stop.RETURNED
        return stop

    def delivering() -> bool:
        delivered = deliver()
        counts["delivered"] += delivered
        return delivered

    with patch.multiple(engine, execute=counting, deliver_known=delivering):
        machine.run(LIMIT_NS)
    return counts["delivered"], counts["returned"]


def alike(image: bytes) -> Machine:
    """Run natively, by steps and with the portable hook, with the same events and the same end. Returns the first."""
    running, recorded = booted(image)
    running.run(LIMIT_NS)
    stepping, stepped = booted(image)
    with SignalsHeld():  # once instead of at each step
        while stepping.clock.now_ns < running.clock.now_ns and stepping.step() is None:
            pass
    portable, in_python = booted(image, portable=True)
    portable.run(LIMIT_NS)
    assert recorded.events == stepped.events == in_python.events
    assert registers(running) == registers(stepping) == registers(portable)
    assert ram(running) == ram(stepping) == ram(portable)
    return running


def registers(machine: Machine) -> tuple[Any, ...]:
    """All registers of a machine, as far as INT and IRET change or store them."""
    found = machine.cpu.registers
    values = found.general_registers, found.rip, machine.cpu.rflags, found.cr[2], machine.clock.now_ns
    return *values, found.segment_registers, found.table_registers, found.cpl, machine.cpu.hook.watched


@pytest.mark.parametrize(("ring", "counts"), [(0, (8, 8)), (3, (8, 9))])
def test_after_two_alike_the_others_are_native(assemble: Any, ring: int, counts: tuple[int, int]) -> None:
    """Ring 3 itself is entered by an IRETQ like those of the handler."""
    image = assemble(interrupts(10) + "movl $0, 0x500000", ring, 2, 0)
    machine, _ = booted(image)
    assert executed_natively(machine) == counts
    assert booted(image, portable=True)[0].cpu.hook.known_interrupt is None
    alike(image)


CHANGES = {
    "another handler": "movq idt + 16 * 0x81, %rax; movq %rax, idt + 16 * 0x80",
    "another vector": "leaq 3f(%rip), %r15; int $0x81; 3: nop",
    "a trap gate": "movb $0x8F, idt + 16 * 0x80 + 5",
    "an absent gate": "movb $0x0E, idt + 16 * 0x80 + 5",
    "a stack of its own": "movb $1, idt + 16 * 0x80 + 4",
    "another stack of its own": "movb $1, idt + 16 * 0x80 + 4;" + interrupts() + "subq $256, tss + 36",
    "an absent code segment": "andb $0x7F, gdt + 8 + 5",
    "a short IDT": "movw $0x80F, idtr; subw $16, idtr; lidt idtr",
    "another IDT": "movl $idt, %esi; movl $0x240000, %edi; movl $512, %ecx; rep movsq;"
    "movl $0x240000, idtr + 2; lidt idtr; movb $0x8F, 0x240000 + 16 * 0x80 + 5",
    "another page table": "movl $0x0, pd + 8; movq %cr3, %rax; movq %rax, %cr3",
    "another stack": "movl $0x250000, %esp",
    "a stack near the end of a page": "movl $0x250018, %esp",
    "a stack that is not aligned": "movl $0x250FF9, %esp",
    "a stack without a page": "movl $0x404000, %esp",
    "a read-only stack": "movl $0x402000, %esp",
    "a stack that becomes read-only": "movl $0x402800, %esp;" + interrupts() + "movq %rsp, %rax; pushq $0x10;"
    "pushq %rax; pushq $2; pushq $8; leaq 3f(%rip), %rdx; pushq %rdx;"
    "movl $0x402001, pt + 16; movq %cr3, %rax; movq %rax, %cr3; iretq; 3: nop",
    "a stack on another page": "movl $0x402800, %esp;" + interrupts() + "movl $0x400003, pt + 16;"
    "movq %cr3, %rax; movq %rax, %cr3",
    "a stack on another page, without a flush": "movl $0x402800, %esp;" + interrupts() + "movl $0x400003, pt + 16",
    "all translations flushed": "movq %cr3, %rax; movq %rax, %cr3",
    "a stack in the page of the code": "leaq 9f(%rip), %rsp; jmp 8f; .balign 16; .skip 1024, 0x90; 9: 8: nop",
    "a stack over the gate": "movl $idt + 16 * 0x80 + 32, %esp",
    "single steps": "pushq $0x102; popfq; nop",
    "another flag": "pushq $0xC93; popfq",
    "interrupts in a shadow": "movl $0x10, %eax; movl %eax, %ss",
    "a breakpoint on the handler": "movl $stubs + 16 * 0x80, %eax; movq %rax, %dr0; movl $2, %eax; movq %rax, %dr7",
    "a breakpoint on the stack": "movq %rsp, %rax; subq $8, %rax; movq %rax, %dr0; movl $0xF0002, %eax;movq %rax, %dr7",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_has_its_effect(assemble: Any, change: str) -> None:
    alike(assemble(interrupts() + CHANGES[change] + ";" + interrupts() + "hlt", 0, 2, 0))


FRAMES = {
    "null stack": returns(stack="$0"),
    "user mode": "leaq 3f(%rip), %r15; movl $0x3C, %r14d;" + returns(code="$0x23", stack="$0x1B", to="3f(%rip)") + "3:",
    "a segment of an inner ring": returns(stack="$0x1B"),
    "no code": returns(code="$0x10"),
    "no such segment": returns(code="$0xFFF8"),
    "a segment of the LDT": returns(code="$0xC"),
    "32-bit code": returns(code="$0x38"),
    "NT": returns(flags="$0x4002"),
    "TF": returns(flags="$0x102"),
    "RF, IOPL, ID and AC": returns(flags="$0x253002"),
    "all flags": returns(flags="$-1"),
    "not canonical": returns().replace("pushq %rdx; iretq", "btsq $47, %rdx; pushq %rdx; iretq"),
    "high": returns().replace("pushq %rdx; iretq", "movabsq $0xFFFFFFFF80000000, %rdx; pushq %rdx; iretq"),
    "NT before": returns().replace("iretq", "pushq $0x4002; popfq; iretq"),
    "TF before": returns().replace("iretq", "pushq $0x102; popfq; iretq"),
    "other data segments": returns() + "movl $0x1B, %eax; movl %eax, %ds; movl %eax, %fs;" + returns(),
    "an absent stack segment": returns() + "andb $0x7F, gdt + 16 + 5;" + returns(),
    "in a shadow": returns().replace("iretq", "movl %eax, %ss; iretq"),
    "shorter instruction": returns().replace("iretq", "iretl"),
    "a prefix": returns().replace("iretq", ".byte 0x66, 0x48, 0xCF"),
    "a breakpoint on the frame": returns() + "movq %rsp, %rax; subq $8, %rax; movq %rax, %dr0; movl $0xF0002, %eax;"
    "movq %rax, %dr7;" + returns(),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_has_its_effect(assemble: Any, frame: str) -> None:
    alike(assemble(returns() + FRAMES[frame] + "hlt", 0, 2, 0))


def test_a_limit_is_exact(assemble: Any) -> None:
    image = assemble(interrupts(6) + "hlt", 0, 2, 0)
    whole, _ = booted(image)
    whole.run()
    stepping, stepped = booted(image)
    limited, recorded = booted(image)
    for at_ns in range(whole.clock.now_ns - 60, whole.clock.now_ns):
        while stepping.clock.now_ns < at_ns:
            stepping.step()
        assert limited.run(at_ns) is Outcome.LIMIT
        assert everything(limited) == everything(stepping)
    assert stepped.events == recorded.events


def test_an_observer_of_the_stack_sees_each_frame(assemble: Any) -> None:
    machine, _ = booted(assemble(interrupts() + "nop; 7: nop;" + interrupts() + "hlt", 0, 2, 0))
    while not machine.cpu.hook.known_interrupt:
        machine.run(machine.clock.now_ns + 20)
    seen: list[Writer] = []
    top = machine.cpu.registers.rsp & -4096
    end = machine.ram.watch(range(top, top + 4096), lambda by, _base, _size: seen.append(by))
    assert not machine.cpu.hook.known_interrupt
    machine.run(LIMIT_NS)
    frames = len(seen)
    end()
    assert frames
    assert set(seen) == {INTERRUPT_DELIVERY}


def test_an_interrupt_is_recorded_before_its_frame_is_written(assemble: Any) -> None:
    machine, _ = booted(assemble(interrupts(8) + "hlt", 0, 2, 0))
    frames: list[bytes] = []

    def look(kind: object) -> None:
        rsp = machine.cpu.registers.rsp
        if kind is InterruptRaised:
            machine.ram.write(rsp - 40, b"x" * 40)
        elif kind is InterruptDelivered:
            frames.append(machine.ram.read(rsp, 40))

    machine.journal.before = look
    machine.run(LIMIT_NS)
    assert machine.cpu.hook.known_interrupt
    assert len(frames) == 8
    assert not any(b"x" in frame for frame in frames)


OWN_HANDLER = (
    "leaq 9f(%rip), %rax; movw %ax, idt + 16 * 0x80; shrq $16, %rax; movw %ax, idt + 16 * 0x80 + 6;"
    "movl $30, %ebx; 1: int $0x80; decl %ebx; jnz 1b; hlt; 9: sti; nop; cli; iretq"
)


def test_a_trace_of_the_interrupt_flag_begins_at_once(assemble: Any) -> None:
    image = assemble(OWN_HANDLER, 0, 2, 0)
    native, _ = booted(image)
    while not native.cpu.hook.known_return:
        native.run(native.clock.now_ns + 20)
    begins_ns = native.clock.now_ns + 50  # time for some that are known
    traces = []
    for machine in (native, booted(image, portable=True)[0]):
        machine.run(begins_ns)
        changes: list[tuple[int, bool]] = []
        machine.trace_interrupt_flag(lambda flag, at=machine, into=changes: into.append((at.clock.now_ns, flag)))  # type: ignore[misc]
        assert not machine.cpu.hook.known_return
        machine.run(LIMIT_NS)
        traces.append(changes)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 4
