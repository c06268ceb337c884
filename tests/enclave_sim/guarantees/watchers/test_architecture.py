"""Required state of the processor, its tables and its task state at the start of ring 3; each is corrupted in turn."""

import struct
from collections.abc import Callable
from typing import Any

import pytest

import firmware
from enclave_sim.guarantees.watchers.architecture import architecture_faults, kernel_faults
from enclave_sim.memory_map import region
from machine.machine import Machine
from tests.enclave_sim.guarantees.spoiling import field, memory

LAYOUT, SYMBOLS = firmware.layout(), firmware.built_in().symbols
IDT, TEXT = SYMBOLS["idt"], region("text")


def test_where_ring_3_begins_nothing_is_wrong(machine: Machine) -> None:
    assert architecture_faults(machine) == ()


@pytest.mark.parametrize(
    ("flags", "faults"),
    [
        (0x2, ["ring 3 runs with interrupts off"]),
        (0x202, []),
        (0x8D7 | 0x200, []),
        (0x1202, ["ring 3 has the I/O privilege (IOPL)"]),
        (0x2202, ["ring 3 has the I/O privilege (IOPL)"]),
        (0x3002, ["ring 3 runs with interrupts off", "ring 3 has the I/O privilege (IOPL)"]),
    ],
)
def test_flags(machine: Machine, flags: int, faults: list[str]) -> None:
    with field(machine.cpu, "rflags", flags):
        assert list(architecture_faults(machine)) == faults


@pytest.mark.parametrize(("table", "name"), [("idtr", "IDT"), ("gdtr", "GDT"), ("tr", "task state")])
def test_a_table_outside_of_ram(machine: Machine, table: str, name: str) -> None:
    with field(getattr(machine.cpu.registers, table), "base", 1 << 40):
        assert architecture_faults(machine) == (f"the {name} is outside of RAM, at 0x10000000000",)


@pytest.mark.parametrize(("bit", "name"), [(0, "PE"), (5, "NE"), (16, "WP"), (31, "PG")])
def test_cr0(machine: Machine, bit: int, name: str) -> None:
    with field(machine.cpu.registers.cr, 0, machine.cpu.registers.cr[0] & ~(1 << bit)):
        assert architecture_faults(machine) == (f"CR0.{name} is clear",)


@pytest.mark.parametrize(("bit", "name"), [(11, "UMIP"), (20, "SMEP"), (21, "SMAP")])
def test_cr4(machine: Machine, bit: int, name: str) -> None:
    with field(machine.cpu.registers.cr, 4, machine.cpu.registers.cr[4] & ~(1 << bit)):
        assert architecture_faults(machine) == (f"CR4.{name} is clear",)


@pytest.mark.parametrize("register", [0, 4])
def test_control_registers_of_zero_have_every_fault(machine: Machine, register: int) -> None:
    with field(machine.cpu.registers.cr, register, 0):
        names = {0: ("PE", "PG", "WP", "NE"), 4: ("UMIP", "SMEP", "SMAP")}[register]
        assert architecture_faults(machine) == tuple(f"CR{register}.{name} is clear" for name in names)


@pytest.mark.parametrize("bit", [2, 7, 10, 12, 16, 22])
def test_other_bits_of_cr4_are_free(machine: Machine, bit: int) -> None:
    with field(machine.cpu.registers.cr, 4, machine.cpu.registers.cr[4] ^ 1 << bit):
        assert architecture_faults(machine) == ()


@pytest.mark.parametrize("bit", [8, 10, 14])
def test_other_bits_of_efer_are_free(machine: Machine, bit: int) -> None:
    with field(machine.cpu.registers, "efer", machine.cpu.registers.efer ^ 1 << bit):
        assert architecture_faults(machine) == ()


def test_the_kernel_waits_with_ac_clear(machine: Machine) -> None:
    assert kernel_faults(machine) == ()
    with field(machine.cpu, "rflags", 0x0004_0000):
        assert kernel_faults(machine) == ("the kernel runs with AC set: SMAP is suspended",)
    with field(machine.cpu, "rflags", 0xFFFB_FFFF):
        assert kernel_faults(machine) == ()


@pytest.mark.parametrize("bit", [1, 3, 18])
def test_other_bits_of_cr0_are_free(machine: Machine, bit: int) -> None:
    with field(machine.cpu.registers.cr, 0, machine.cpu.registers.cr[0] ^ 1 << bit):
        assert architecture_faults(machine) == ()


@pytest.mark.parametrize(
    ("flipped", "faults"),
    [
        (1 << 11, ("EFER.NXE is clear: nothing is non-executable",)),
        (1, ("EFER.SCE is set: SYSCALL is a second way into ring 0",)),
    ],
)
def test_efer(machine: Machine, flipped: int, faults: tuple[str, ...]) -> None:
    with field(machine.cpu.registers, "efer", machine.cpu.registers.efer ^ flipped):
        assert architecture_faults(machine) == faults


@pytest.mark.parametrize("selector", [0, 1, 3, 4, 8, 0x30])
def test_an_ldt_is_a_fault_whatever_its_rpl(machine: Machine, selector: int) -> None:
    """Selectors 0 to 3 are null (SDM volume 3, 3.4.2)."""
    faults = (f"there is an LDT, selector {selector:#x}",) if selector > 3 else ()
    with field(machine.cpu.registers.ldtr, "selector", selector):
        assert architecture_faults(machine) == faults


def gate(vector: int) -> int:
    return IDT + 16 * vector


@pytest.mark.parametrize(("vector", "level"), [(0, 0), (14, 0), (32, 0), (0x80, 3), (255, 0)])
def test_each_gate_is_an_interrupt_gate_of_its_level(machine: Machine, vector: int, level: int) -> None:
    (access,) = machine.ram.read(gate(vector) + 5, 1)
    for spoilt in (access & 0x7F, access | 1, access & 0xF0):  # not present, a trap gate, no gate
        with memory(machine, gate(vector) + 5, bytes([spoilt])):
            assert architecture_faults(machine) == (f"vector {vector} has no interrupt gate",)
    for other in {0, 1, 2, 3} - {level}:
        with memory(machine, gate(vector) + 5, bytes([access & 0x9F | other << 5])):
            assert architecture_faults(machine) == (f"the gate of vector {vector} has DPL {other}, not {level}",)


def handler_bytes(address: int) -> tuple[bytes, bytes]:
    return struct.pack("<H", address & 0xFFFF), struct.pack("<HI", address >> 16 & 0xFFFF, address >> 32)


@pytest.mark.parametrize(
    ("address", "inside"),
    [(TEXT.base, True), (TEXT.base - 1, False), (TEXT.end - 1, True), (TEXT.end, False), (TEXT.base | 1 << 40, False)],
)
def test_each_handler_lies_in_the_kernels_text(machine: Machine, address: int, inside: bool) -> None:
    low, high = handler_bytes(address)
    with memory(machine, gate(6), low), memory(machine, gate(6) + 6, high):
        faults = () if inside else (f"vector 6 is handled outside of the kernel, at 0x8:{address:#x}",)
        assert architecture_faults(machine) == faults


def test_each_handler_runs_in_the_kernels_code_segment(machine: Machine) -> None:
    handler = int.from_bytes(machine.ram.read(gate(6), 2) + machine.ram.read(gate(6) + 6, 6), "little")
    with memory(machine, gate(6) + 2, b"\x23\0"):
        assert architecture_faults(machine) == (f"vector 6 is handled outside of the kernel, at 0x23:{handler:#x}",)


STACKS = {2: "nmi_stack", 8: "fault_stack", 18: "machine_check_stack", 32: "irq_stack", 255: "irq_stack"}
STACKS |= {0: "call_stack", 31: "call_stack", 0x80: "call_stack"}


@pytest.mark.parametrize("vector", STACKS)
def test_each_vector_is_taken_on_the_stack_that_is_reserved_for_it(machine: Machine, vector: int) -> None:
    (entry,) = machine.ram.read(gate(vector) + 4, 1)
    other = 1 if entry != 1 else 2
    task = machine.cpu.registers.tr.base
    wrong = int.from_bytes(machine.ram.read(task + 36 + 8 * (other - 1), 8), "little")
    name = STACKS[vector]
    with memory(machine, gate(vector) + 4, bytes([other])):
        assert architecture_faults(machine) == (
            f"vector {vector} is taken on the stack at {wrong:#x}, not on {name} at {region(name).end:#x}",
        )


@pytest.mark.parametrize("slot", range(1, 8))
def test_a_stack_is_the_eight_bytes_of_its_own_slot(machine: Machine, slot: int) -> None:
    """A byte of the next slot is that of other vectors, or of none."""
    task = machine.cpu.registers.tr.base + 36 + 8 * (slot - 1)
    users = [vector for vector in range(256) if machine.ram.read(gate(vector) + 4, 1)[0] == slot]
    (lowest,) = machine.ram.read(task, 1)
    for at, spoilt in ((0, lowest ^ 1), (7, 1)):
        with memory(machine, task + at, bytes([spoilt])):
            faults = architecture_faults(machine)
        assert [fault.split(" is taken on the stack at ")[0] for fault in faults] == [f"vector {n}" for n in users]


def test_nobody_is_taken_on_the_stack_of_ring_1(machine: Machine) -> None:
    with memory(machine, machine.cpu.registers.tr.base + 4 + 8, b"\xff" * 16):
        assert architecture_faults(machine) == ()


def test_the_kernels_own_stack_pointer_counts_with_all_its_bytes(machine: Machine) -> None:
    task = machine.cpu.registers.tr.base
    with memory(machine, task + 4 + 7, b"\x80"):
        faults = architecture_faults(machine)
    right = region("call_stack").end
    assert len(faults) == 30  # the exceptions without a stack of their own, and the host call
    assert faults[0] == f"vector 0 is taken on the stack at {right | 1 << 63:#x}, not on call_stack at {right:#x}"


@pytest.mark.parametrize("entries", [0, 33, 255])
def test_the_idt_has_an_entry_for_each_vector(machine: Machine, entries: int) -> None:
    with field(machine.cpu.registers.idtr, "limit", entries * 16 - 1 if entries else 0):
        assert architecture_faults(machine) == (f"the IDT has {entries} entries, not 256",)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda access, flags: (access ^ 0x60, flags), "segment {at:#x} has DPL {other}, not {level}"),
        (lambda access, flags: (access & ~0x10, flags), "segment {at:#x} is a system descriptor"),
    ],
)
@pytest.mark.parametrize("name", ["KERNEL_CODE", "USER_CODE", "USER_DATA"])
def test_each_segment_is_one_of_its_ring(machine: Machine, name: str, change: Callable[..., Any], what: str) -> None:
    at, level = LAYOUT[name] & ~7, 3 if name.startswith("USER") else 0
    base = machine.cpu.registers.gdtr.base + at
    access, flags = machine.ram.read(base + 5, 2)
    with memory(machine, base + 5, bytes(change(access, flags))):
        assert architecture_faults(machine) == (what.format(at=at, level=level, other=3 - level),)


@pytest.mark.parametrize("name", ["KERNEL_CODE", "USER_CODE"])
def test_code_is_of_64_bits_and_not_conforming(machine: Machine, name: str) -> None:
    at = LAYOUT[name] & ~7
    base = machine.cpu.registers.gdtr.base + at
    access, flags = machine.ram.read(base + 5, 2)
    for spoilt in (bytes([access | 4, flags]), bytes([access, flags & ~0x20])):
        with memory(machine, base + 5, spoilt):
            assert architecture_faults(machine) == (f"code segment {at:#x} is conforming, or not of 64 bits",)


def test_the_task_state_is_the_last_descriptor(machine: Machine) -> None:
    gdtr = machine.cpu.registers.gdtr
    end = LAYOUT["TASK_STATE"] + 16
    assert gdtr.limit + 1 == end
    with field(gdtr, "limit", end + 7), memory(machine, gdtr.base + end, bytes(8)):
        assert architecture_faults(machine) == ()
    with field(gdtr, "limit", end + 7), memory(machine, gdtr.base + end, bytes(7) + b"\1"):
        assert architecture_faults(machine) == ("there are descriptors after the task state's",)


def test_the_task_state_opens_no_ports(machine: Machine) -> None:
    task = machine.cpu.registers.tr
    for offset in (0, 103):
        with memory(machine, task.base + 102, struct.pack("<H", offset)):
            assert architecture_faults(machine) == (
                "the task state has an I/O permission bitmap: ports may be open to ring 3",
            )
    for offset in (104, 0xFFFF):
        with memory(machine, task.base + 102, struct.pack("<H", offset)):
            assert architecture_faults(machine) == ()
    with field(task, "limit", 104), memory(machine, task.base + 104, b"\1"):
        assert architecture_faults(machine) == (
            "the task state has an I/O permission bitmap: ports may be open to ring 3",
            "the task state has 105 bytes, not 104",
        )
    with field(task, "limit", 102):
        assert architecture_faults(machine) == ("the task state has 103 bytes, not 104",)


@pytest.mark.parametrize("limit", [0xFFFE, 0xFFFF, 0x10000, 0xFFFF_FFFF])
def test_of_a_task_state_64_kib_are_read(machine: Machine, limit: int) -> None:
    task = machine.cpu.registers.tr
    with field(task, "limit", limit), memory(machine, task.base + 102, b"\xff\xff"):
        faults = architecture_faults(machine)
    size = min(limit + 1, 1 << 16)
    assert faults[-1] == f"the task state has {size} bytes, not 104"
    assert len(faults) == 1 + (size > 0xFFFF)
