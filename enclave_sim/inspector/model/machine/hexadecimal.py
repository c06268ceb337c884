"""Bytes of physical memory: hexadecimal, ASCII, changes, and last writers."""

from collections.abc import Sequence
from typing import overload

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.inspector.model.moment import LastWriter, Moment
from enclave_sim.inspector.model.rows import Meaning, Part, Row, Target, View, note
from enclave_sim.recording.hex_lines import LINE_BYTES, HexLine, ascii_of
from machine.bus.ram import PAGE_SIZE

_WINDOW = 16 * PAGE_SIZE
"""The maximum number of bytes shown around an address. A smaller region is shown completely."""


class HexRows(Sequence[Row]):
    """Rows of bytes, made when drawn."""

    def __init__(self, base: int, data: bytes, before: bytes, writers: dict[int, LastWriter]) -> None:
        self._base, self._data, self._before, self._writers = base, data, before, writers

    def writer(self, index: int) -> LastWriter | None:
        """Return the last writer of a row's bytes, or None if it is unknown."""
        target = self[index].target
        found = self._writers.get(target.memory if target.memory is not None else -1)
        return found if found is not None and found.size == target.size else None

    def __len__(self) -> int:
        return (len(self._data) + LINE_BYTES - 1) // LINE_BYTES

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        start = index % len(self) * LINE_BYTES
        part, old = self._data[start : start + LINE_BYTES], self._before[start : start + LINE_BYTES]
        address = self._base + start
        middle, hexadecimal = 3 * LINE_BYTES // 2, HexLine(address, part).hexadecimal
        changed = bool(old) and old != part
        parts: list[Part] = [
            (f"{address:08x}", Meaning.DIM),
            (" *" if changed else "  ", Meaning.CHANGED),
            (f"{hexadecimal[:middle]} {hexadecimal[middle:]}  ", _meaning(part, changed=changed)),
            (ascii_of(part), _meaning(part, changed=changed)),
        ]
        parts += [
            (f"  {at:#x} {one.words}", Meaning.NOTE)
            for at, one in self._writers.items()
            if address <= at < address + LINE_BYTES
        ]
        return Row(tuple(parts), Target(memory=address, size=len(part)))


def _meaning(part: bytes, *, changed: bool) -> Meaning:
    return Meaning.CHANGED if changed else Meaning.PLAIN if any(part) else Meaning.DIM


def bytes_view(moment: Moment, address: int | None = None) -> View:
    """Return the bytes around a physical address; None for the top of the stack."""
    machine = moment.machine
    centre = address
    if centre is None:
        found = machine.cpu.memory.look(machine.cpu.registers.rsp)
        centre = 0 if found is None else found.physical + machine.cpu.registers.rsp % PAGE_SIZE
    if not 0 <= centre < machine.ram.size:
        return View((note(f"{centre:#x} is not in RAM, which ends at {machine.ram.size - 1:#x}"),))
    base, end = _window(moment.program, centre, machine.ram.size)
    data = machine.ram.read(base, end - base)
    before = moment.bytes_before(base, data)
    where = moment.program.region_at(centre)
    name = where.name if where is not None else "no region"
    rows = HexRows(base, data, before, moment.writers_here(range(base, end)))
    return View(rows, (centre - base) // LINE_BYTES, f"{centre:#x} in {name}")


def _window(program: Program, centre: int, ram_bytes: int) -> tuple[int, int]:
    where = program.region_at(centre)
    base, end = (where.base, where.end) if where is not None else (0, ram_bytes)
    if end - base > _WINDOW:
        base = max(base, centre - _WINDOW // 2) & -PAGE_SIZE
        end = min(end, base + _WINDOW)
    return base, end
