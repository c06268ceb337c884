"""A trace of RFLAGS.IF: the windows in which it keeps its value, with what began them, at exact positions.

It changes nothing in the run. The machine stops at CLI, STI and POPF for it, and at all else that may change the flag
anyway.
"""

from typing import NamedTuple, Protocol

from enclave_sim.enclave.kernel.mapped_memory import physical
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.events import InputTaken
from enclave_sim.recording.interrupt_windows import Window
from machine.bus.ram import PAGE_SIZE
from machine.events import InterruptDelivered
from machine.machine import Machine

_PREFIXES = frozenset([0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF2, 0xF3, *range(0x40, 0x50)])
_ONE_BYTE = {0xFA: "cli", 0xFB: "sti", 0x9D: "popf", 0xCF: "iret"}
_TWO_BYTES = {0x05: "syscall", 0x07: "sysret", 0x34: "sysenter", 0x35: "sysexit"}
_LONGEST = 15


class Traced(Protocol):
    """An enclave, or a kernel on the bare machine."""

    @property
    def machine(self) -> Machine:
        """The machine, at power-on."""

    @property
    def program(self) -> Program:
        """The kernel."""


class _Change(NamedTuple):
    enabled: bool
    at_ns: int
    step: int
    by: str
    rip: int | None
    seen: int


class InterruptFlagTrace:
    """Traces one run.

        enclave = Enclave("counter", cycles=3)
        trace = InterruptFlagTrace(enclave)
        enclave.run()
        print(max(one.duration_ns for one in trace.windows() if not one.enabled))

    Args:
        run: The enclave or the kernel, before it runs.
    """

    def __init__(self, run: Traced) -> None:
        self._run = run
        machine = self._machine = run.machine
        self._noted = "", -1
        """The last event that may have changed the flag, and the number of instructions retired before it."""
        enabled = bool(machine.cpu.rflags >> 9 & 1)
        self._changes = [_Change(enabled, machine.clock.now_ns, machine.clock.timeless_steps, "reset", None, 0)]
        self._before = machine.journal.before
        machine.journal.before = self._note
        machine.trace_interrupt_flag(self._changed)

    def windows(self) -> list[Window]:
        """Return the windows so far; the last one ends now.

        Returns:
            The windows, in order. Each but the first begins where the one before it ends.
        """
        clock = self._machine.clock
        ends = [*((one.at_ns, one.step) for one in self._changes[1:]), (clock.now_ns, clock.timeless_steps)]
        return [self._window(one, *end) for one, end in zip(self._changes, ends, strict=True)]

    def _window(self, one: _Change, end_ns: int, end_step: int) -> Window:
        symbol = "" if one.rip is None else self._run.program.symbol(one.rip)
        duration_ns = end_ns - one.at_ns
        return Window(
            one.enabled, one.at_ns, one.step, end_ns, end_step, duration_ns, one.by, one.rip, symbol, one.seen
        )

    def _note(self, kind: object) -> None:
        """Note the kind of an event before it is made."""
        if self._before is not None:
            self._before(kind)
        if kind is InterruptDelivered or kind is InputTaken:
            name = "interrupt" if kind is InterruptDelivered else "input"
            self._noted = name, self._machine.cpu.hook.retired

    def _changed(self, enabled: bool) -> None:
        """Keep a change. The machine calls this."""
        machine = self._machine
        clock, last = machine.clock, machine.cpu.hook.last
        by, retired = self._noted
        by, rip = (by, None) if retired == machine.cpu.hook.retired else (_name(_code(machine, last)), last)
        self._changes.append(_Change(enabled, clock.now_ns, clock.timeless_steps, by, rip, machine.journal.seq))


def _code(machine: Machine, address: int) -> bytes:
    """Return the code at a linear address, whatever the current ring may read."""
    found = b""
    while len(found) < _LONGEST:
        here = address + len(found)
        base = physical(machine, here)
        if base is None:
            break
        found += machine.ram.read(base, min(_LONGEST - len(found), PAGE_SIZE - here % PAGE_SIZE))
    return found


def _name(code: bytes) -> str:
    """Return the name of an instruction that may change the flag."""
    at = next((at for at, byte in enumerate(code) if byte not in _PREFIXES), len(code))
    opcode, *following = code[at : at + 2] or b"\0"
    if opcode == 0x0F and following:
        return _TWO_BYTES.get(following[0], "other")
    return _ONE_BYTE.get(opcode, "other")
