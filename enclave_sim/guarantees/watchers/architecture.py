"""Audits the tables and registers that control the processor in ring 3: IDT, GDT, task state, control registers.

The rules are those of a locked architecture (`Status.ARCH_LOCKED`, the target state of phase 01). One gate is open to
ring 3. Every handler is in the measured kernel and has its reserved stack. No port is open. Write protection and NX are
on, and so, even in the kernel, are UMIP, SMEP and SMAP, which separate the rings.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import firmware
from enclave_sim.memory_map import region
from machine.architecture.control_registers import CR0_NE, CR0_PE, CR0_PG, CR0_WP, CR4_SMAP, CR4_SMEP, CR4_UMIP
from machine.architecture.descriptors import INTERRUPT_GATE, gate_64, segment
from machine.machine import Machine
from machine.processor.cpu import FLAG_AC, FLAG_IF

_NMI, _DOUBLE_FAULT, _MACHINE_CHECK, _FIRST_INTERRUPT, _VECTORS = 2, 8, 18, 32, 256
_TSS_RSP0, _TSS_IST1, _TSS_PERMISSIONS, _TSS_SIZE = 4, 36, 102, 104
_EFER_SCE, _EFER_NXE = 1, 1 << 11
_IOPL = 3 << 12


class _Controls(NamedTuple):
    """The audited control registers."""

    cr0: int
    cr4: int
    efer: int
    ldt: int
    """The selector in LDTR."""


def architecture_faults(machine: Machine) -> tuple[str, ...]:
    """Return the faults, one line each, when ring 3 is about to run. The machine must be stopped."""
    return tuple(_flag_faults(machine.cpu.rflags)) + table_faults(machine)


def table_faults(machine: Machine) -> tuple[str, ...]:
    """Return the faults of tables and control registers, which apply in every ring. The machine must be stopped."""
    state, ram = machine.cpu.registers, machine.ram
    spans = {
        name: range(table.base, table.base + min(table.limit, 0xFFFF) + 1)
        for name, table in (("IDT", state.idtr), ("GDT", state.gdtr), ("task state", state.tr))
    }
    outside = tuple(
        f"the {name} is outside of RAM, at {one.start:#x}" for name, one in spans.items() if one.stop > ram.size
    )
    if outside:
        return outside
    idt, gdt, task = (ram.read(one.start, len(one)) for one in spans.values())
    return _table_faults(_Controls(state.cr[0], state.cr[4], state.efer, state.ldtr.selector), idt, gdt, task)


def kernel_faults(machine: Machine) -> tuple[str, ...]:
    """Return the faults when the kernel waits in HLT: RFLAGS.AC suspends SMAP (SDM volume 3, 4.6.1)."""
    return ("the kernel runs with AC set: SMAP is suspended",) if machine.cpu.rflags & FLAG_AC else ()


def _flag_faults(rflags: int) -> Iterator[str]:
    if not rflags & FLAG_IF:
        yield "ring 3 runs with interrupts off"
    if rflags & _IOPL:
        yield "ring 3 has the I/O privilege (IOPL)"


@lru_cache  # called at every entry to ring 3; a run has one result, or two if an input changes memory
def _table_faults(controls: _Controls, idt: bytes, gdt: bytes, task: bytes) -> tuple[str, ...]:
    return *_control_faults(controls), *_gate_faults(idt, task), *_segment_faults(gdt), *_task_faults(task)


def _control_faults(controls: _Controls) -> Iterator[str]:
    for bit, name in ((CR0_PE, "PE"), (CR0_PG, "PG"), (CR0_WP, "WP"), (CR0_NE, "NE")):
        if not controls.cr0 & bit:
            yield f"CR0.{name} is clear"
    for bit, name in ((CR4_UMIP, "UMIP"), (CR4_SMEP, "SMEP"), (CR4_SMAP, "SMAP")):
        if not controls.cr4 & bit:
            yield f"CR4.{name} is clear"
    if not controls.efer & _EFER_NXE:
        yield "EFER.NXE is clear: nothing is non-executable"
    if controls.efer & _EFER_SCE:
        yield "EFER.SCE is set: SYSCALL is a second way into ring 0"
    if controls.ldt & ~3:
        yield f"there is an LDT, selector {controls.ldt:#x}"


def _gate_faults(idt: bytes, task: bytes) -> Iterator[str]:
    layout, text = firmware.layout(), region("text")
    if len(idt) != _VECTORS * 16:
        yield f"the IDT has {len(idt) // 16} entries, not {_VECTORS}"
    for vector in range(len(idt) // 16):
        gate = gate_64(idt[vector * 16 : vector * 16 + 16])
        level = 3 if vector == layout["VECTOR_HOST_CALL"] else 0
        if not gate.present or gate.kind != INTERRUPT_GATE:
            yield f"vector {vector} has no interrupt gate"
            continue
        if gate.level != level:
            yield f"the gate of vector {vector} has DPL {gate.level}, not {level}"
        if gate.selector != layout["KERNEL_CODE"] or not text.base <= gate.handler < text.end:
            yield f"vector {vector} is handled outside of the kernel, at {gate.selector:#x}:{gate.handler:#x}"
        wanted = region(_stack_of(vector)).end
        at = _TSS_IST1 + 8 * (gate.interrupt_stack_table - 1) if gate.interrupt_stack_table else _TSS_RSP0
        stack = int.from_bytes(task[at : at + 8], "little")
        if stack != wanted:
            yield f"vector {vector} is taken on the stack at {stack:#x}, not on {_stack_of(vector)} at {wanted:#x}"


def _stack_of(vector: int) -> str:
    """Return the name of the stack region reserved for a vector."""
    special = {_NMI: "nmi_stack", _DOUBLE_FAULT: "fault_stack", _MACHINE_CHECK: "machine_check_stack"}
    if vector in special:
        return special[vector]
    interrupt = vector >= _FIRST_INTERRUPT and vector != firmware.layout()["VECTOR_HOST_CALL"]
    return "irq_stack" if interrupt else "call_stack"


def _segment_faults(gdt: bytes) -> Iterator[str]:
    layout = firmware.layout()
    for at in range(8, layout["TASK_STATE"], 8):
        found = segment(gdt[at : at + 8])
        level = 3 if at | 3 in (layout["USER_CODE"], layout["USER_DATA"]) else 0
        if found.level != level:
            yield f"segment {at:#x} has DPL {found.level}, not {level}"
        if not (found.is_code or found.is_data):
            yield f"segment {at:#x} is a system descriptor"
        if found.is_code and (found.conforming or not found.long):
            yield f"code segment {at:#x} is conforming, or not of 64 bits"
    if any(gdt[layout["TASK_STATE"] + 16 :]):
        yield "there are descriptors after the task state's"


def _task_faults(task: bytes) -> Iterator[str]:
    permissions = int.from_bytes(task[_TSS_PERMISSIONS : _TSS_PERMISSIONS + 2], "little")
    if permissions < len(task):
        yield "the task state has an I/O permission bitmap: ports may be open to ring 3"
    if len(task) != _TSS_SIZE:
        yield f"the task state has {len(task)} bytes, not {_TSS_SIZE}"
