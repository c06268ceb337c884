"""Uses of RAM on the golden run: of each byte, the next thing that reads or overwrites it.

Until something reads an inverted bit, the run is the golden run. So the accesses of the golden run, noted once, say of
every bit at every moment whether the fault is activated, without another run.

Readers are instructions, the fetch of their code, and whatever Python reads for the processor, for devices and for the
host. Not all is visible. What is not counts as reading, so "not read" is certain:

* A guest that the host executes may read all memory that is lent to it, in each of its stays.
* Unicorn walks page tables unseen: they are read at every moment.
* Code is read until the block of instructions that it belongs to has ended.

What judges and scans for residue look at is not read by the enclave.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from enum import IntEnum
from heapq import merge

from enclave_sim.campaigns.register_uses import Class
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import ConfigurationError
from enclave_sim.memory_map import region
from machine.bus.writer import Writer

_LINE = 64
_NARROW = 16 * _LINE
"""Accesses of more bytes are kept in a list of their own: a device erases megabytes."""
_NOWHERE = 2**64 - 1
MOST_CLASSES = 2_000_000
"""The most classes of one window; where everything counts as read, each byte has one at each moment."""


class Use(IntEnum):
    """The next thing that happens to a byte."""

    READ = 0
    """Something reads it, or may read it."""
    OVERWRITTEN = 1
    """It is overwritten before anything reads it."""
    LEFT = 2
    """Nothing reads or overwrites it before the end of the run."""


class _Kind(IntEnum):
    INSTRUCTION_READ = 0
    INSTRUCTION_WRITE = 1
    FETCH = 2
    OTHER_READ = 3
    OTHER_WRITE = 4


class MemoryUses:
    """The uses of RAM in the golden run.

    Args:
        enclave: A fresh enclave of the golden run; it is used up.
        limit_ns: Virtual time at which the run must have ended, in ns.
    """

    def __init__(self, enclave: Enclave, limit_ns: int) -> None:
        self._cpu, self._clock = enclave.machine.cpu, enclave.machine.clock
        self._instructions, self._times = array("Q"), array("Q")  # of a fetch, the first instruction instead of a time
        self._kinds, self._bases, self._sizes = array("B"), array("Q"), array("Q")
        self._lines: dict[int, array[int]] = {}
        self._wide = array("Q")
        self._block = (0, 0, 0)
        self._trace(enclave, limit_ns)
        del self._cpu, self._clock  # the machine is large, and not needed any more
        tables = region("page_tables")
        self._tables = range(tables.base, tables.end)

    def _trace(self, enclave: Enclave, limit_ns: int) -> None:
        cpu, ram = self._cpu, enclave.machine.ram
        everywhere = range(ram.size)
        enclave.machine.stop_at([_NOWHERE])  # so that Unicorn begins each block, and reports it
        ends = [
            cpu.watch_memory(everywhere, self._accessed),
            cpu.watch_blocks(self._entered),
            ram.watch(everywhere, self._written),
            ram.watch_reads(self._other_read),
        ]
        enclave.advance(limit_ns)
        self._entered(0, 0)
        for end in ends:
            end()

    # Notes

    def _accessed(self, writes: bool, address: int, size: int) -> None:
        self._note(_Kind(writes), address, size, self._cpu.accessing)

    def _written(self, _by: Writer, base: int, size: int) -> None:
        self._note(_Kind.OTHER_WRITE, base, size, self._cpu.hook.retired)

    def _other_read(self, base: int, size: int) -> None:
        self._note(_Kind.OTHER_READ, base, size, self._cpu.hook.retired)

    def _entered(self, address: int, size: int) -> None:
        """Note the block that has ended: its last instruction was the one before."""
        base, length, begun = self._block
        if length:
            last = max(self._cpu.hook.retired - 1, begun)
            self._note(_Kind.FETCH, base, length, last)
            self._times[-1] = begun
        self._block = address, size, self._cpu.hook.retired

    def _note(self, kind: _Kind, base: int, size: int, instructions: int) -> None:
        number = len(self._kinds)
        self._instructions.append(instructions)
        self._times.append(self._clock.now_ns)
        self._kinds.append(kind)
        self._bases.append(base)
        self._sizes.append(size)
        if size > _NARROW:
            self._wide.append(number)
            return
        for line in range(base // _LINE, (base + size - 1) // _LINE + 1):
            self._lines.setdefault(line, array("Q")).append(number)

    # Questions

    def of(self, address: int, instructions: int, at_ns: int) -> Use:
        """Return what becomes of a byte.

        Args:
            address: Its physical address.
            instructions: The number of instructions retired at the moment.
            at_ns: The virtual time of the moment, in ns.

        Returns:
            Its next use.
        """
        if address in self._tables:
            return Use.READ
        for number in self._after(address, instructions):
            kind, when = self._kinds[number], self._instructions[number]
            if kind == _Kind.OTHER_WRITE:
                if when > instructions:  # otherwise it may have been just before
                    return Use.OVERWRITTEN
            elif kind == _Kind.INSTRUCTION_WRITE:
                return Use.OVERWRITTEN
            elif kind != _Kind.OTHER_READ or when > instructions or self._times[number] >= at_ns:
                return Use.READ
        return Use.LEFT

    def classes(self, addresses: Iterable[int], window: range) -> list[Class]:
        """Return the classes of equivalent moments of some bytes.

        Args:
            addresses: Physical addresses.
            window: Numbers of instructions retired before each moment.

        Returns:
            The classes, by address and time; the weights of a byte's add up to the length of the window.

        Raises:
            ConfigurationError: There are too many.
        """
        found: list[Class] = []
        for address in addresses:
            if len(found) > MOST_CLASSES:
                raise ConfigurationError(f"there are more than {MOST_CLASSES:,} classes; take fewer addresses")
            first = window.start
            for last in (*self._ends(address, window), window.stop - 1):
                if first <= last < window.stop:
                    found.append(Class(address, first, last, self.of(address, last, 0) is Use.READ))
                    first = last + 1
        return found

    def _ends(self, address: int, window: range) -> Iterator[int]:
        """Yield the moments after which a fault meets another next use, or after which that is not certain."""
        if address in self._tables:
            yield from window
            return
        for number in self._after(address, window.start):
            kind, when = self._kinds[number], self._instructions[number]
            if kind == _Kind.FETCH:
                yield from range(self._times[number], when)
            elif kind >= _Kind.OTHER_READ:
                yield when - 1
            yield when
            if when >= window.stop:
                return

    def _after(self, address: int, instructions: int) -> Iterator[int]:
        """Yield the numbers of the accesses to a byte from an instruction on, in order."""
        line = self._lines.get(address // _LINE, array("Q"))
        for number in merge(*(numbers[self._first(numbers, instructions) :] for numbers in (line, self._wide))):
            if 0 <= address - self._bases[number] < self._sizes[number]:
                yield number

    def _first(self, numbers: "array[int]", instructions: int) -> int:
        return bisect_left(numbers, instructions, key=self._instructions.__getitem__)
