"""A picture of the linear address space: what is mapped, the rights of both rings, and where RIP and RSP are in it.

The rights are those that an access would have now (SDM volume 3, 4.6.1): CR0.WP, SMEP, SMAP and RFLAGS.AC count for the
kernel's.
"""

from collections.abc import Callable, Iterable, Iterator

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.guarantees.watchers.page_tables import Mapping, mappings
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import EMPTY, Meaning, Row, Target, View, note, title
from machine.architecture.control_registers import CR0_WP, CR4_SMAP, CR4_SMEP
from machine.architecture.paging import Mode
from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine
from machine.processor.cpu import FLAG_AC

_HEADING = "linear address     ring0 ring3  what is there, and how large"
_LONGEST_BAR = 12
_NOTHING = "---"


def address_space_view(moment: Moment) -> View:
    """Return a row for each range with one set of rights, in order of address, the gaps between them included."""
    machine, program = moment.machine, moment.program
    marks = {"RIP": machine.cpu.linear_rip, "RSP": machine.cpu.registers.rsp}
    if machine.cpu.memory.mode is not Mode.FOUR_LEVEL:
        return _without_pages(machine, program, marks)
    rows, here, end = [title(_HEADING)], 0, 0
    for first, size in mapped_runs(mappings(machine.ram, machine.cpu.registers.cr[3]), lambda at: _region(program, at)):
        if first.linear > end:
            rows.append(_gap(end, first.linear, marks))
        end = first.linear + size
        if first.linear <= marks["RIP"] < end:
            here = len(rows)
        rows.append(_range(machine, program, first, size, marks))
    outside = [f"{name} {at:#x} is not mapped" for name, at in marks.items() if at >= end]
    rows += [EMPTY, *map(note, (*outside, *_rules(machine)))]
    return View(tuple(rows), here, f"ring {machine.cpu.registers.cpl}")


def _without_pages(machine: Machine, program: Program, marks: dict[str, int]) -> View:
    off = machine.cpu.memory.mode is Mode.OFF
    words = "paging is off: linear addresses are physical ones, and every ring may do everything"
    rows = [
        note(words if off else "paging has two or three levels; only four are shown"),
        title("regions of the image"),
    ]
    here = 0
    for one in program.regions:
        found = _marks_in(one.base, one.end, marks)
        here = len(rows) if "RIP" in found else here
        parts = (
            (f"{_span(one.base, one.end)} ", Meaning.DIM),
            (f"{one.name:<20} ", Meaning.NAME),
            (found, Meaning.HERE),
        )
        rows.append(Row(parts, Target(memory=one.base, size=one.size)))
    return View(tuple(rows), here, f"ring {machine.cpu.registers.cpl}")


def _range(machine: Machine, program: Program, first: Mapping, size: int, marks: dict[str, int]) -> Row:
    end = first.linear + size
    kernel, guest = _kernel_rights(machine, first), _rights(first) if first.user else _NOTHING
    what = _region(program, first.physical) or "other memory"
    parts = (
        (f"{_span(first.linear, end)} ", Meaning.DIM),
        (f" {kernel} ", Meaning.RING_0 if kernel != _NOTHING else Meaning.DIM),
        (" ", Meaning.PLAIN),
        (f" {guest} ", Meaning.RING_3 if guest != _NOTHING else Meaning.DIM),
        (f"  {what:<20} ", Meaning.NAME),
        (_marks_in(first.linear, end, marks), Meaning.HERE),
        (f"{_bar(size):<{_LONGEST_BAR}} {_size(size)}", Meaning.DIM),
    )
    physical = first.physical if first.physical < machine.ram.size else None
    return Row(parts, Target(code=first.linear if first.executable else None, memory=physical, size=size))


def _region(program: Program, physical: int) -> str:
    found = program.region_at(physical)
    return "" if found is None else found.name


def _gap(start: int, end: int, marks: dict[str, int]) -> Row:
    text = f"{_span(start, end)}  {_NOTHING}   {_NOTHING}   {'not mapped':<20} "
    return Row(((text, Meaning.DIM), (_marks_in(start, end, marks), Meaning.BAD), (_size(end - start), Meaning.DIM)))


def _span(start: int, end: int) -> str:
    return f"{start:08x}-{end - 1:08x}"


def _rights(page: Mapping) -> str:
    return f"r{'w' if page.writable else '-'}{'x' if page.executable else '-'}"


def _kernel_rights(machine: Machine, page: Mapping) -> str:
    state = machine.cpu.registers
    reads = not (page.user and state.cr[4] & CR4_SMAP and not machine.cpu.rflags & FLAG_AC)
    writes = reads and (page.writable or not state.cr[0] & CR0_WP)
    executes = page.executable and not (page.user and state.cr[4] & CR4_SMEP)
    return f"{'r' if reads else '-'}{'w' if writes else '-'}{'x' if executes else '-'}"


def _rules(machine: Machine) -> Iterator[str]:
    state = machine.cpu.registers
    if state.cr[4] & CR4_SMEP:
        yield "SMEP: ring 0 executes no page of ring 3"
    if state.cr[4] & CR4_SMAP:
        suspended = " (suspended now, since AC is set)" if machine.cpu.rflags & FLAG_AC else ""
        yield f"SMAP: ring 0 reads and writes no page of ring 3{suspended}"
    yield "the bar has a block for each doubling of the size, from one page on"


def _bar(size: int) -> str:
    return "#" * min(_LONGEST_BAR, (size // PAGE_SIZE).bit_length())


def _size(size: int) -> str:
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB")):
        if size >> shift and not size & (1 << shift - 10) - 1:
            return f"{size >> shift:,} {unit}"
    return f"{size >> 10:,} KiB"


def _marks_in(start: int, end: int, marks: dict[str, int]) -> str:
    places = {name: at - 1 if name == "RSP" and at else at for name, at in marks.items()}  # an empty stack ends at RSP
    return "".join(f"<{name} {at:#x} " for name, at in marks.items() if start <= places[name] < end)


def mapped_runs(pages: Iterable[Mapping], name: Callable[[int], str]) -> Iterator[tuple[Mapping, int]]:
    """Join neighbouring pages with equal rights and names.

    Args:
        pages: The pages, by linear address.
        name: Returns the name of a page by its physical address.

    Yields:
        The first page of each run, and its size in bytes.
    """
    first: Mapping | None = None
    size = 0
    for page in pages:
        joins = (
            first is not None
            and page.linear == first.linear + size
            and page.physical == first.physical + size
            and (page.size, page.writable, page.user, page.executable)
            == (first.size, first.writable, first.user, first.executable)
            and name(page.physical) == name(first.physical)
        )
        if first is not None and not joins:
            yield first, size
        first, size = (first, size + page.size) if first is not None and joins else (page, page.size)
    if first is not None:
        yield first, size
