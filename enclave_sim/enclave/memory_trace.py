"""A trace of one memory region: events that name the writer of each range.

It is off unless the configuration names a region.

Writes are observed one by one, and joined for each writer until the next event: the range of the event is the smallest
that contains them. Those of a WebAssembly guest are detected by a change of the content: after each of its stays, its
data segments after the first one. A write that changes nothing is then not detected. Accessed and dirty flags that
Unicorn sets are not reported.

The trace is bounded: it has at most `MAX_EVENTS`, the last of which reports its end. To find the function of a guest
its run is repeated, for at most `MAX_SEARCHED_NS` in total.
"""

from collections.abc import Iterable, Iterator
from contextvars import Context
from typing import TYPE_CHECKING, ClassVar

from enclave_sim import events
from enclave_sim.enclave.node import Node
from enclave_sim.memory_map import region
from machine.bus.ram import PAGE_SIZE
from machine.bus.writer import Writer
from machine.state import Stateful

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.program import Program

MAX_EVENTS = 100_000
MAX_SEARCHED_NS = 1_000_000_000
"""The total guest time, in virtual ns, that searches may repeat."""


class MemoryTrace(Stateful):
    """Emits `memory_written` for one region, from power-on."""

    STATE: ClassVar[tuple[str, ...]] = ("_content", "_written", "_events", "_spent_ns", "_searched_ns")
    WIRING: ClassVar[tuple[str, ...]] = ("_region", "_node", "_program", "_emitting")

    def __init__(self, name: str, node: Node, program: "Program") -> None:
        self._region = region(name)
        self._node, self._program = node, program
        self._content = node.machine.ram.read(self._region.base, self._region.size)
        """The content of the region after all reported writes."""
        self._written: dict[tuple[str, str], tuple[int, int]] = {}
        """Start and end of the range that each has written since the last event."""
        self._events = 0
        self._spent_ns = self._searched_ns = 0
        """The guest's time so far, and the time that searches have repeated."""
        self._emitting = False
        machine = node.machine
        machine.journal.before = self._before
        machine.cpu.watch_memory(range(self._region.base, self._region.end), self._accessed)
        machine.ram.watch(range(self._region.base, self._region.end), self._wrote)
        if node.gate is not None and name == "heap":
            node.gate.on_stay = self._guest_ran

    def _now(self) -> bytes:
        return self._node.machine.ram.read(self._region.base, self._region.size)

    def _accessed(self, writes: bool, address: int, size: int) -> None:
        if not writes:
            return
        at = self._node.machine.cpu.hook.last
        symbol = self._program.symbol(at)
        writer = Writer("kernel", symbol.partition("+")[0]) if symbol else Writer("guest", f"code at {at:#x}")
        self._wrote(writer, address, size)

    def _wrote(self, by: Writer, base: int, size: int) -> None:
        writer = by.kind, by.name
        begin, end = self._written.get(writer, (base, base))
        self._written[writer] = min(begin, base), max(end, base + size)

    def _before(self, kind: object) -> None:
        """Report the writes before an event of a kind."""
        if self._emitting:
            return
        written, self._written = self._written, {}
        for writer, (begin, end) in written.items():
            self._report(Writer(*writer), max(begin, self._region.base), min(end, self._region.end))
        if written:
            self._explain(written.values())
        if kind is events.GuestInstantiated:
            self._spent_ns = 0

    def _explain(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Take the content of some ranges as reported."""
        content, now, base = bytearray(self._content), self._now(), self._region.base
        for begin, end in ranges:
            first, last = max(begin - base, 0), min(end - base, len(now))
            content[first:last] = now[first:last]
        self._content = bytes(content)

    def _guest_ran(self, elapsed_ns: int) -> None:
        self._spent_ns += elapsed_ns
        for begin, end in self._changes():
            self._report(Writer("guest", self._function(range(begin, end))), begin, end)

    def _function(self, where: range) -> str:
        """Name the guest's function that last stored to a range; or say that it was not searched for."""
        host = self._node.host
        if host is None or self._searched_ns + self._spent_ns > MAX_SEARCHED_NS:
            return "a function not searched for"
        self._searched_ns += self._spent_ns
        found = Context().run(host.last_writer, where)  # without a host limit: it would end in the middle of a step
        return found or "a function that was not found"

    def _changes(self) -> Iterator[tuple[int, int]]:
        """Yield the changed ranges, with adjacent pages joined, and take them as reported."""
        before, now, base = self._content, self._now(), self._region.base
        if before == now:
            return
        self._content = now
        pages = [at for at in range(0, len(now), PAGE_SIZE) if before[at : at + PAGE_SIZE] != now[at : at + PAGE_SIZE]]
        while pages:
            count = next((n for n in range(1, len(pages)) if pages[n] != pages[0] + n * PAGE_SIZE), len(pages))
            first, last = pages[0], pages[count - 1] + PAGE_SIZE
            pages = pages[count:]
            while before[first] == now[first]:
                first += 1
            while before[last - 1] == now[last - 1]:
                last -= 1
            yield base + first, base + last

    def _report(self, writer: Writer, begin: int, end: int) -> None:
        if self._events >= MAX_EVENTS:
            return
        self._events += 1
        if self._events == MAX_EVENTS:
            writer, begin, end = Writer("limit", "no more writes are traced"), self._region.base, self._region.base
        self._emitting = True
        try:
            self._node.machine.journal.emit(events.MemoryWritten, self._region.name, begin, end - begin, *writer)
        finally:
            self._emitting = False
