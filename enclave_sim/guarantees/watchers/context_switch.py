"""Zero trace, checked at every switch: nothing is left for the next context.

When ring 3 is entered (SDM volume 3, 6.14.3; firmware/src/interrupts.S):
* after a host call, only RAX holds a value, and the call stack holds only the frame of this return;
* after an interrupt, every register is as it was when ring 3 was interrupted, and the interrupt stack is as above;
* a fresh guest finds all registers zero, and all memory that it may write.

At the end of a cycle heap, guest stack, arena and the interrupt stacks are zero. In DORMANT all registers are, too.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

import machine.events as machine_events
from enclave_sim import events
from enclave_sim.guarantees.report import hex_dump
from enclave_sim.guarantees.watchers.watcher import Watcher
from enclave_sim.memory_map import GUEST_MEMORY, region
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.architecture.saved_context import X87_CLEAR
from machine.bus.ram import PAGE_SIZE

_FRAME = 40
_SHOWN = 64
"""Bytes that a finding shows at most."""
_MXCSR = 0x1F80
_CYCLE_REGIONS = (*GUEST_MEMORY, "arena", "call_stack", "irq_stack")
_ALL_STACKS = ("call_stack", "fault_stack", "nmi_stack", "machine_check_stack", "irq_stack")
_HOST_CALL = 0x80
_DR7_FIXED, _DR6_FIXED = 0x400, 0xFFFF_0FF0

_RESUME = 1 << 16
_REGISTER_NAMES = (*(name.upper() for name in GENERAL_REGISTERS), "RIP", "RFLAGS", "CS", "SS", "XMM", "x87", "MXCSR")


class ContextSwitchWatcher(Watcher):
    """Checks registers and stacks at each switch. The names in `looked_at` are kinds of switches."""

    NAME = "context switches"
    STATE = ("_interrupted", "_left_by")
    WIRING = ("inverted",)

    def __init__(self) -> None:
        super().__init__()
        self.inverted: Mapping[int, int] = {}
        """Bytes of zeros of which a memory fault of the run has inverted bits, by address: they are no residue."""
        self._interrupted: tuple[Any, ...] | None = None
        self._left_by: int | None = None
        """The vector that left ring 3; None before a guest's first entry."""

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """See `Watcher`."""
        return {
            machine_events.InterruptRaised: self._raised,
            machine_events.RingTransition: self._ring_changed,
            machine_events.Halted: self._halted,
            events.CycleBegan: self._cycle_began,
            events.CycleEnded: self._cycle_ended,
            events.Scrubbed: self._scrubbed,
            events.PhaseCompleted: self._phase_completed,
        }

    # Into ring 3, and out of it

    def _raised(self, event: machine_events.InterruptRaised) -> None:
        if event.ring != 3:
            return
        self._left_by = event.vector
        self._interrupted = self._registers()

    def _ring_changed(self, event: machine_events.RingTransition) -> None:
        if event.to_ring != 3:
            return
        if self._left_by is None:
            self._entered(event)
        elif self._left_by == _HOST_CALL:
            self._host_call_returned(event)
        else:
            self._interrupt_returned(event)

    def _entered(self, event: machine_events.RingTransition) -> None:
        self.count("fresh guests")
        self._check_cleared(event, "a fresh guest", "")
        for name in (*GUEST_MEMORY, "call_stack", "irq_stack"):
            self._check_zero(name, "when a fresh guest is entered", event.at_ns)

    def _host_call_returned(self, event: machine_events.RingTransition) -> None:
        self.count("host calls")
        self._check_cleared(event, "a host call", "rax")
        answer = self.machine.cpu.registers.rax
        if answer >> 32:
            self.find(f"a host call's answer has more than 32 bits: {answer:#x}", event.at_ns)
        self._check_stack("call_stack", "a host call", event.at_ns)

    def _interrupt_returned(self, event: machine_events.RingTransition) -> None:
        self.count("interrupts")
        now = self._registers()
        if self._interrupted is not None and now != self._interrupted:
            changed = [name for name, a, b in zip(_REGISTER_NAMES, self._interrupted, now, strict=True) if a != b]
            self.find(f"an interrupt changed the guest's {', '.join(changed)}", event.at_ns)
        self._check_stack("irq_stack", "an interrupt", event.at_ns)

    def _registers(self) -> tuple[Any, ...]:
        """Return the registers that an interrupt must restore, in the order of `_REGISTER_NAMES`."""
        cpu = self.machine.cpu
        state, context = cpu.registers, cpu.context
        floating = (context.vector_registers, context.x87, context.mxcsr)
        return (
            *state.general_registers,
            state.rip,
            cpu.rflags & ~_RESUME,
            state.cs.selector,
            state.ss.selector,
            *floating,
        )

    def _check_cleared(self, event: machine_events.RingTransition, after: str, answer: str) -> None:
        """Check that registers other than the answer are zero, and that floating point is in its FNINIT state."""
        cpu = self.machine.cpu
        left = [
            f"{name.upper()} = {value:#x}"
            for name in GENERAL_REGISTERS
            if name not in ("rsp", answer) and (value := getattr(cpu.registers, name))
        ]
        vectors = cpu.context.vector_registers
        if vectors.count(0) != len(vectors):
            left.append("an XMM register")
        if cpu.context.x87 != X87_CLEAR:
            left.append("x87")
        if not answer:  # after a host call a guest keeps the selectors and the MXCSR that it loaded itself
            segments = (name for name in ("ds", "es", "fs", "gs") if getattr(cpu.registers, name).selector)
            left += [*segments, *([] if cpu.read_register("MXCSR") == _MXCSR else ["MXCSR"])]
        if left:
            self.find(f"left in registers for the guest after {after}: {', '.join(left)}", event.at_ns)

    # Memory

    def _check_zero(self, name: str, when: str, at_ns: int) -> None:
        where = region(name)
        self._check_left(f"{name} is not zero {when}", range(where.base, where.end), at_ns)

    def _check_stack(self, name: str, after: str, at_ns: int) -> None:
        """Check that a stack is zero except for the frame of the return to the guest, which the guest knows."""
        where, ram = region(name), self.machine.ram
        self._check_left(f"{name} is not scrubbed after {after}", range(where.base, where.end - _FRAME), at_ns)
        state = self.machine.cpu.registers
        frame = ram.read(where.end - _FRAME, _FRAME)
        rip, cs, _rflags, rsp, ss = struct.unpack("<5Q", frame)
        if (rip, cs, rsp, ss) != (state.rip, state.cs.selector, state.rsp, state.ss.selector):
            what = f"{name} holds another frame than the guest's after {after}"
            self.find(what, at_ns, hex_dump(where.end - _FRAME, frame))

    def _check_left(self, what: str, where: range, at_ns: int) -> None:
        """Check that memory is zero, but for the inverted bits themselves."""
        ram = self.machine.ram
        if ram.is_zero(where.start, len(where)):
            return
        left = (at for page in ram.nonzero_pages() for at in range(page, page + PAGE_SIZE) if at in where)
        first = next((at for at in left if ram.view[at] and ram.view[at] != self.inverted.get(at)), None)
        if first is not None:
            end = (first & -PAGE_SIZE) + PAGE_SIZE
            self.find(what, at_ns, hex_dump(first, ram.read(first, min(_SHOWN, end - first))))

    def _cycle_began(self, _event: events.CycleBegan) -> None:
        self._left_by, self._interrupted = None, None

    def _cycle_ended(self, event: events.CycleEnded) -> None:
        self.count("cycle ends")
        for name in _CYCLE_REGIONS:
            self._check_zero(name, f"at the end of cycle {event.cycle}", event.at_ns)

    def _phase_completed(self, event: events.PhaseCompleted) -> None:
        if event.phase == "MEM_MAP":
            for name in (*GUEST_MEMORY, "arena", *_ALL_STACKS):
                self._check_zero(name, "when MEM_MAP reaches its target state", event.at_ns)

    def _scrubbed(self, event: events.Scrubbed) -> None:
        self.count("scrubs")
        if not event.verified:
            self.find(f"{event.region} was not zero when it had been scrubbed ({event.cause})", event.at_ns)

    # Asleep and dormant

    def _halted(self, event: machine_events.Halted) -> None:
        if event.interruptible:
            self.count("sleeps")
            vectors = self.machine.cpu.context.vector_registers
            if vectors.count(0) != len(vectors) or self.machine.cpu.context.x87 != X87_CLEAR:
                self.find("floating-point registers are not zero while the enclave sleeps", event.at_ns)
            return
        self.count("dormant")
        cpu = self.machine.cpu
        left = [f"{n.upper()} = {v:#x}" for n in GENERAL_REGISTERS if (v := getattr(cpu.registers, n))]
        left += [f"{n} = {v:#x}" for n in ("DR0", "DR1", "DR2", "DR3", "CR2") if (v := cpu.read_register(n))]
        left += [f"{n.upper()} base" for n in ("fs", "gs") if getattr(cpu.registers, n).base]
        vectors = cpu.context.vector_registers
        left += ["an XMM register"] if vectors.count(0) != len(vectors) else []
        left += ["x87"] if cpu.context.x87 != X87_CLEAR else []
        left += ["IDTR"] if cpu.registers.idtr.limit else []
        left += ["DR7"] if cpu.read_register("DR7") != _DR7_FIXED else []
        left += ["DR6"] if cpu.read_register("DR6") != _DR6_FIXED else []
        if left:
            self.find(f"left in registers when dormant: {', '.join(left)}", event.at_ns)
