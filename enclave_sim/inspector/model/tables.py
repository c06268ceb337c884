"""Descriptor tables, task state and page tables, with their bits in words (SDM volume 3, 3.4.5, 4.5, 6.14, 7.7)."""

from collections.abc import Iterator

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.guarantees.watchers.page_tables import mappings
from enclave_sim.inspector.model import bits
from enclave_sim.inspector.model.machine.address_space import mapped_runs
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import EMPTY, Meaning, Row, Target, View, note, title
from machine.architecture.descriptors import gate_64, segment
from machine.architecture.paging import Mode
from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine

_LEVELS = ("PML4E", "PDPTE", "PDE", "PTE")
_RSP0, _IST1, _IO_MAP = 4, 36, 102
_TASK_BYTES = 104
_MOST = 0x10000


def table_view(moment: Moment) -> View:
    """Return the GDT, task state, page walks to RIP, RSP and CR2, all mappings, and the IDT."""
    machine, program = moment.machine, moment.program
    rows: list[Row] = [*_gdt(machine, program), EMPTY, *_task(machine, program), EMPTY, *_walks(machine), EMPTY]
    rows += [*_mapped(machine, program), EMPTY, *_idt(machine, program)]
    return View(tuple(rows), None, "v: next table")


def _table(machine: Machine, name: str) -> tuple[int, bytes]:
    """Return the linear base and the readable content of a table."""
    register = getattr(machine.cpu.registers, name)
    length = min(register.limit, _MOST - 1) + 1
    data = b""
    while len(data) < length:
        at = register.base + len(data)
        found = machine.cpu.memory.look(at)
        if found is None or found.physical + PAGE_SIZE > machine.ram.size:
            break
        count = min(length - len(data), PAGE_SIZE - at % PAGE_SIZE)
        data += machine.ram.read(found.physical + at % PAGE_SIZE, count)
    return register.base, data


def _gdt(machine: Machine, program: Program) -> Iterator[Row]:
    base, data = _table(machine, "gdtr")
    yield title(f"GDT at {base:#x} {program.place(base)}")
    if not base:
        yield note("not loaded yet: the processor uses what the boot loader left in its segment registers")
        return
    at = 0
    while at + 8 <= len(data):
        entry = segment(data[at : at + 8])
        size = 16 if machine.cpu.registers.in_64_bit_code and entry.present and entry.system_type in (9, 11, 2) else 8
        where = entry.base | (int.from_bytes(data[at + 8 : at + 12], "little") << 32 if size == 16 else 0)
        words = "null" if not any(data[at : at + 8]) else bits.segment_flags(entry.flags)
        extent = "" if words == "null" else f"  base {where:#x} limit {entry.limit:#x}"
        used = " ".join(_users(machine, at))
        target = Target(memory=base + at, size=size)
        yield Row(
            (
                (f"  {at:#04x} ", Meaning.DIM),
                (words, Meaning.PLAIN),
                (extent, Meaning.DIM),
                (f"  {used}", Meaning.NAME),
            ),
            target,
        )
        at += size


def _users(machine: Machine, at: int) -> list[str]:
    names = ("cs", "ss", "ds", "es", "fs", "gs", "tr", "ldtr")
    registers = machine.cpu.registers
    return [name.upper() for name in names if at and getattr(registers, name).selector & ~7 == at]


def _task(machine: Machine, program: Program) -> Iterator[Row]:
    base, data = _table(machine, "tr")
    selector = machine.cpu.registers.tr.selector
    yield title(f"task state at {base:#x} {program.place(base)}, selector {selector:#x}")
    if not selector or len(data) < _TASK_BYTES:
        yield note("not loaded yet")
        return
    slots = [(f"RSP{n}", _RSP0 + 8 * n) for n in range(3)] + [(f"IST{n + 1}", _IST1 + 8 * n) for n in range(7)]
    for name, at in slots:
        value = int.from_bytes(data[at : at + 8], "little")
        words = f"top of {program.place(value - 1).partition('+')[0]}" if value else "not used"
        yield Row(
            ((f"  {name} ", Meaning.NAME), (f"{value:#x} ", Meaning.PLAIN), (words, Meaning.DIM)),
            Target(memory=base + at, size=8),
        )
    bitmap = int.from_bytes(data[_IO_MAP : _IO_MAP + 2], "little")
    words = "no port is open to ring 3" if bitmap >= len(data) else "ring 3 may access ports"
    yield Row(
        ((f"  I/O permission bitmap at {bitmap:#x}: {words}", Meaning.PLAIN),), Target(memory=base + _IO_MAP, size=2)
    )


def _idt(machine: Machine, program: Program) -> Iterator[Row]:
    base, data = _table(machine, "idtr")
    yield title(f"IDT at {base:#x} {program.place(base)}")
    if not machine.cpu.registers.in_64_bit_code or not base or not any(data):
        yield note("empty: any interrupt or exception now is a triple fault")
        return
    for vector in range(len(data) // 16):
        gate = gate_64(data[vector * 16 : vector * 16 + 16])
        target = Target(code=gate.handler if gate.present else None, memory=base + vector * 16, size=16)
        if not gate.present:
            yield Row(((f"  {vector:#04x} not present", Meaning.DIM),), target)
            continue
        stack = f", IST{gate.interrupt_stack_table}" if gate.interrupt_stack_table else ""
        words = f"{bits.system_type(gate.kind & 0xF)}, DPL {gate.level}{stack}"
        meaning = Meaning.HERE if gate.level == 3 else Meaning.PLAIN
        where = f"  {gate.selector:#x}:{gate.handler:#x} {program.place(gate.handler)}"
        yield Row(((f"  {vector:#04x} ", Meaning.DIM), (words, meaning), (where, Meaning.NAME)), target)


def _walks(machine: Machine) -> Iterator[Row]:
    state = machine.cpu.registers
    yield title(f"page walks from CR3 {state.cr3:#x}")
    if machine.cpu.memory.mode is not Mode.FOUR_LEVEL:
        yield note(_without_four_levels(machine))
        return
    for name, address in (("RIP", machine.cpu.linear_rip), ("RSP", state.rsp), ("CR2", state.cr[2])):
        yield Row(((f"  {name} {address:#x}", Meaning.NAME),), Target(memory=None))
        yield from _walk(machine, address)


def _without_four_levels(machine: Machine) -> str:
    mode = machine.cpu.memory.mode
    if mode is Mode.OFF:
        return "paging is off: linear addresses are physical ones"
    return f"paging is {'PAE' if mode is Mode.PAE else '32-bit'}; only 4-level paging is shown here"


def _walk(machine: Machine, address: int) -> Iterator[Row]:
    table = machine.cpu.registers.cr[3] & 0x000F_FFFF_FFFF_F000
    for level, name in enumerate(_LEVELS):
        shift = 39 - 9 * level
        slot = table + (address >> shift & 0x1FF) * 8
        if slot + 8 > machine.ram.size:
            yield note(f"    {name} at {slot:#x} lies outside RAM")
            return
        entry = int.from_bytes(machine.ram.read(slot, 8), "little")
        leaf = level == 3 or bool(entry >> 7 & 1 and level)
        words = bits.page_entry(entry, leaf=leaf)
        yield Row(
            ((f"    {name:<5} at {slot:08x} ", Meaning.DIM), (f"{entry:016x} ", Meaning.PLAIN), (words, Meaning.NAME)),
            Target(memory=slot, size=8),
        )
        if leaf or not entry & 1:
            return
        table = entry & 0x000F_FFFF_FFFF_F000


def _mapped(machine: Machine, program: Program) -> Iterator[Row]:
    yield title("mapped: linear, physical, rights (w writable, x executable, u user)")
    if machine.cpu.memory.mode is not Mode.FOUR_LEVEL:
        yield note(_without_four_levels(machine))
        return

    def named(physical: int) -> str:
        return program.place(physical).partition("+")[0]

    for first, size in mapped_runs(mappings(machine.ram, machine.cpu.registers.cr[3]), named):
        rights = f"r{'w' if first.writable else '-'}{'x' if first.executable else '-'} {'u' if first.user else 's'}"
        kind = f"{first.size >> 10} KiB pages"
        text = f"  {first.linear:08x}-{first.linear + size - 1:08x} -> {first.physical:08x} "
        target = Target(memory=first.physical if first.physical < machine.ram.size else None, size=size)
        meaning = Meaning.BAD if first.writable and first.executable else Meaning.PLAIN
        yield Row(
            (
                (text, Meaning.DIM),
                (rights, meaning),
                (f"  {program.place(first.physical).partition('+')[0]} {kind}", Meaning.NAME),
            ),
            target,
        )
