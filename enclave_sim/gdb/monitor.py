"""The `monitor` commands of gdb: phases, events, writers and calls, regions, PCRs, and named positions."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from enclave_sim import events
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import ConfigurationError, EnclaveError
from enclave_sim.gdb.memory import place_of
from enclave_sim.gdb.wasm import wasm
from enclave_sim.recording.activity import ACTIVITY_KINDS, activity
from enclave_sim.recording.event_text import event_line
from enclave_sim.recording.text import one_line, plural
from enclave_sim.specification import Phase
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.link import SCHEME, follow_link, link_to_here
from enclave_sim.time_travel.navigation.call_table import FunctionCall
from enclave_sim.time_travel.navigation.provenance.answers import lines
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, REGISTERS, Place
from enclave_sim.time_travel.travel import Travel
from enclave_sim.times import nanoseconds
from machine.architecture.mapped_ranges import mapped_ranges
from machine.architecture.paging import Mode
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.errors import MachineError
from machine.events import Event, RingTransition

_FEW, _MOST = 10, 1000
_MAX_NAMES = 1000
_ALL_ONES = range(17, 23)
_GOALS = "go takes the name of a snapshot, a link, or a virtual time such as 1.29ms"
_MOVED = "gdb shows the old registers, unless it has read the commands of enclave-sim gdb --script"


class Monitor:
    """Runs commands on a session. It keeps the user's names of positions."""

    def __init__(self, session: Travel[Any]) -> None:
        self._session = session
        self._names: dict[str, Position] = {}
        self._steps: list[Position] = []
        """The numbered steps of the last answer to `from`."""
        self._commands: dict[str, Callable[[list[str]], Iterator[str]]] = {
            "help": self._help,
            "where": self._where,
            "phase": self._phase,
            "transition": self._transition,
            "event": self._event,
            "scrub": self._scrub,
            "regions": self._regions,
            "info": self._info,
            "writer": self._writer,
            "calls": self._calls,
            "from": self._from,
            "to": self._to,
            "wasm": self._wasm,
            "pcrs": self._pcrs,
            "snapshot": self._snapshot,
            "go": self._go,
            "link": self._link,
            "reset": self._reset,
        }

    def forget_after(self, position: Position) -> None:
        """Drop the names of later positions, which no longer exist."""
        self._names = {name: one for name, one in self._names.items() if one <= position}
        self._steps = []

    def run(self, line: str) -> str:
        """Run a command. Return its output: at least one line; exactly one for an error."""
        name, *arguments = line.split() or ["help"]
        command = self._commands.get(name)
        if command is None:
            return f"no command {one_line(name)!r}; there are {', '.join(self._commands)}\n"
        here = self._session.now
        try:
            return "".join(f"{one}\n" for one in command(arguments))
        except (EnclaveError, MachineError) as error:
            self._session.go_to(here)
            return f"{one_line(str(error))}\n"

    def thread(self) -> str:
        """Describe the state of the only thread in a few words."""
        machine, subject = self._session.machine, self._session.subject
        stage = f"{machine.mode} mode"
        if isinstance(subject, Enclave):
            stage = subject.phase.name if subject.phase else "before all phases"
        return f"ring {machine.cpu.registers.cpl}, {stage}, {self._session.now}"

    # Commands. `help` shows their docstrings.

    def _help(self, _arguments: list[str]) -> Iterator[str]:
        """List the commands."""
        for name, command in self._commands.items():
            yield f"{name:<11} {command.__doc__}"

    def _where(self, _arguments: list[str]) -> Iterator[str]:
        """Show address, function, source line, ring, mode and virtual time."""
        yield self._here()

    def _here(self) -> str:
        session, machine = self._session, self._session.machine
        rip, ring = machine.cpu.linear_rip, machine.cpu.registers.cpl
        where = f"{rip:#x} {session.program.symbol(rip) or 'not the kernel'}, {session.line or 'no source'}"
        end = f", {session.subject.ended}" if session.subject.ended else ", halted" if machine.halted else ""
        return f"{where}, ring {ring}, {machine.mode} mode, {session.now}{end}"

    def _phase(self, _arguments: list[str]) -> Iterator[str]:
        """Show when each boot phase was entered and reached its target state, and what runs after the last one."""
        if not isinstance(self._session.subject, Enclave):
            yield "there are no boot phases: this is a bare kernel"
            return
        entered = {one.phase: one.at_ns for one in self._session.events if isinstance(one, events.PhaseEntered)}
        reached = {one.phase: one.at_ns for one in self._session.events if isinstance(one, events.PhaseCompleted)}
        for phase in Phase:
            state = "not entered"
            if phase.name in reached:
                state = f"target state reached at {reached[phase.name]:,} ns: {phase.target_state}"
            elif phase.name in entered:
                state = f"entered at {entered[phase.name]:,} ns"
            yield f"{phase:02} {phase.name:<10} {state}"
        if Phase.EXEC_LOOP.name in reached:
            yield activity(next(one for one in reversed(self._session.events) if isinstance(one, ACTIVITY_KINDS)))

    def _transition(self, arguments: list[str]) -> Iterator[str]:
        """Show the last ring transition; `transition next` and `transition previous` go to another one."""
        match arguments:
            case []:
                found = self._last(RingTransition, 1)
                yield event_line(found[0]) if found else "the ring has not changed yet"
            case ["next"]:
                self._session.next_transition()
                yield from self._moved()
            case ["previous"]:
                self._session.previous_transition()
                yield from self._moved()
            case _:
                raise ConfigurationError("transition takes nothing, next, or previous")

    def _event(self, arguments: list[str]) -> Iterator[str]:
        """Show the last events: 10, or as many as `event 30` asks for."""
        yield from self._lines(Event, arguments)

    def _scrub(self, arguments: list[str]) -> Iterator[str]:
        """Show the last scrubs: 10, or as many as `scrub 30` asks for."""
        yield from self._lines(events.Scrubbed, arguments)

    def _lines(self, kind: type[Event], arguments: list[str]) -> Iterator[str]:
        count = _count(arguments)
        yield from [event_line(one) for one in self._last(kind, count)] or ["none yet"]

    def _last(self, kind: type[Event], count: int) -> list[Event]:
        return [one for one in self._session.events if isinstance(one, kind)][-count:]

    def _regions(self, _arguments: list[str]) -> Iterator[str]:
        """Show the memory map, and how much of each region is not zero."""
        ram = self._session.machine.ram
        used = set(ram.nonzero_pages())
        for one in self._session.program.regions:
            pages = len(used.intersection(one.pages))
            state = f"{plural(pages, 'page')} of {len(one.pages):,} not zero"
            yield f"{one.base:#010x} {one.end - 1:#010x} {one.rights} ring {one.ring} {one.name:<19} {state}"

    def _info(self, arguments: list[str]) -> Iterator[str]:
        """Show what the page tables map, in the format of QEMU, which gef and pwndbg read: `info mem`."""
        if arguments != ["mem"]:
            raise ConfigurationError("info takes mem")
        machine = self._session.machine
        ranges = mapped_ranges(machine.ram, machine.cpu.registers)
        if ranges is None:
            yield "PG disabled"
            return
        digits = 16 if machine.cpu.memory.mode is Mode.FOUR_LEVEL else 8
        for one in ranges:
            rights = f"{'u' if one.user else '-'}r{'w' if one.writable else '-'}"
            end = one.end & (1 << 4 * digits) - 1  # 0 after the last page there is
            yield f"{one.start:0{digits}x}-{end:0{digits}x} {one.end - one.start:0{digits}x} {rights}"

    def _writer(self, arguments: list[str]) -> Iterator[str]:
        """Show who last changed a register, or wrote memory: `writer rax`, `writer status`, `writer 0x200000 8`."""
        match arguments:
            case [name] if name in GENERAL_REGISTERS:
                write = self._session.last_register_write(name)
            case [_] | [_, _]:
                where = self._range(arguments)
                write = self._session.last_write(where.start, len(where))
            case _:
                raise ConfigurationError("writer takes a register, or an address or symbol and a number of bytes")
        yield f"{write}" if write is not None else "not written since power-on"

    def _range(self, arguments: list[str]) -> range:
        """Return the physical range of an address or symbol, and a number of bytes. Raises ConfigurationError."""
        place, size = arguments[0], _number(arguments[1]) if len(arguments) > 1 else 1
        where = place_of(self._session.machine, self._address(place), size)
        if where is None:
            raise ConfigurationError(f"{size} bytes at {place} are not mapped to one piece of RAM here")
        return where

    def _asked(self, name: str, arguments: list[str]) -> Place:
        """Return a register, or a range of memory. Raises ConfigurationError."""
        match arguments:
            case [register] if register in REGISTERS:
                return REGISTERS[register]
            case [_] | [_, _]:
                where = self._range(arguments)
                return Place(MEMORY, where.start, len(where))
            case _:
                raise ConfigurationError(f"{name} takes a register, or an address or symbol and a number of bytes")

    def _from(self, arguments: list[str]) -> Iterator[str]:
        """Show where a value came from: `from rax`, `from status 4`; `from go 3` goes to step 3 of that answer."""
        match arguments:
            case ["go", text] if text.isascii() and text.isdecimal() and 0 < int(text) <= len(self._steps):
                self._session.go_to(self._steps[int(text) - 1])
                yield from self._moved()
            case ["go", *_]:
                raise ConfigurationError(f"from go takes a step of the last answer, which has {len(self._steps)}")
            case _:
                value = self._session.where_from(self._asked("from", arguments))
                self._steps = []
                yield from lines(value, self._steps)

    def _to(self, arguments: list[str]) -> Iterator[str]:
        """Show what becomes of a value until it is overwritten: `to rax`, `to status 4`."""
        uses = self._session.where_to(self._asked("to", arguments))
        yield from [str(use) for use in uses] or ["nothing uses it"]

    def _calls(self, arguments: list[str]) -> Iterator[str]:
        """Show the last calls of a function: 10, or as many as `calls scrub 30` asks for."""
        if not arguments:
            raise ConfigurationError("calls takes a function, and a count")
        function, *count = arguments
        known = self._session.program.symbols
        calls = self._session.calls(function if function in known else self._address(function))
        yield from [self._call(one) for one in calls[-_count(count) :]] or ["none yet"]

    def _call(self, call: FunctionCall) -> str:
        arguments = ", ".join(f"{name} {value:#x}" for name, value in call.arguments.items())
        if call.duration_ns is None:
            end = "not returned"
        else:
            end = f"returned after {call.duration_ns:,} ns" + (f": {call.result:#x}" if call.result is not None else "")
        caller = self._session.program.symbol(call.caller) or f"{call.caller:#x}"
        return f"{call.position}: ({arguments}) from {caller}, {end}"

    def _wasm(self, arguments: list[str]) -> Iterator[str]:
        """Show a resident guest; `wasm step`, `over`, `out`, `back`, `to start`, `break start +0x9` go there."""
        yield from wasm(self._session, arguments, self._moved)

    def _address(self, text: str) -> int:
        """Return a linear address: a number, or a symbol. Raises ConfigurationError."""
        known = self._session.program.symbols
        return known[text] if text in known else _number(text)

    def _pcrs(self, _arguments: list[str]) -> Iterator[str]:
        """Show the extended PCRs of the TPM (SHA-256), computed from the events so far."""
        values: dict[int, bytes] = {}
        names: dict[int, list[str]] = {}
        for one in self._session.events:
            if isinstance(one, events.PcrExtended):
                before = values.get(one.pcr, (b"\xff" if one.pcr in _ALL_ONES else b"\0") * 32)
                values[one.pcr] = hashlib.sha256(before + bytes.fromhex(one.sha256)).digest()
                names.setdefault(one.pcr, []).append(one.measured)
        for number, value in sorted(values.items()):
            yield f"PCR {number:<2} {value.hex()} {', '.join(dict.fromkeys(names[number]))}"
        if not values:
            yield "no PCR has been extended yet"

    def _snapshot(self, arguments: list[str]) -> Iterator[str]:
        """List the named positions; `snapshot NAME` names this one."""
        match arguments:
            case []:
                yield from [f"{name} {position}" for name, position in self._names.items()] or [
                    "no position has a name"
                ]
            case [name] if name.isidentifier() and len(self._names) < _MAX_NAMES:
                self._names[name] = self._session.now
                yield f"{name} is {self._session.now}"
            case _:
                raise ConfigurationError(
                    f"snapshot takes nothing or one name, such as before_guest; {_MAX_NAMES} at most"
                )

    def _go(self, arguments: list[str]) -> Iterator[str]:
        """Go to a position: `go NAME`, `go 1.29ms`, or `go LINK`."""
        match arguments:
            case [text] if text.startswith(SCHEME):
                follow_link(self._session, text)
            case [name] if name in self._names:
                self._session.go_to(self._names[name])
            case []:
                raise ConfigurationError(_GOALS)
            case _:
                self._go_to_time(" ".join(arguments))
        yield from self._moved()

    def _link(self, arguments: list[str]) -> Iterator[str]:
        """Show a link to this position, for `go`, `--at` and the inspector: `link`, or `link A NOTE`."""
        yield str(link_to_here(self._session, note=" ".join(arguments)))

    def _reset(self, arguments: list[str]) -> Iterator[str]:
        """Go to the beginning, power-on."""
        if arguments:
            raise ConfigurationError("reset takes nothing")
        self._session.go_to(Position(0))
        yield from self._moved()

    def _go_to_time(self, text: str) -> None:
        try:
            at_ns = nanoseconds(text)
        except ConfigurationError:
            raise ConfigurationError(_GOALS) from None
        if at_ns > self._session.now.at_ns:
            self._session.run_to(at_ns=at_ns)
        elif at_ns < self._session.now.at_ns:
            self._session.reverse_to(at_ns=at_ns)

    def _moved(self) -> Iterator[str]:
        yield self._here()
        yield _MOVED


def _number(text: str) -> int:
    try:
        found = int(text, 0)
    except ValueError:
        raise ConfigurationError(f"{one_line(text)!r} is not a number or a symbol") from None
    if not 0 <= found < 1 << 64:
        raise ConfigurationError(f"{one_line(text)} is not a number of 64 bits")
    return found


def _count(arguments: list[str]) -> int:
    match arguments:
        case []:
            return _FEW
        case [text] if text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= _MOST:
            return int(text)
        case _:
            raise ConfigurationError(f"a count is one number from 1 to {_MOST}")
