"""The stub: the answer to each packet ("Debugging with GDB", "Packets")."""

from collections.abc import Callable
from typing import Any

from enclave_sim.cancellation import Cancelled
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.kernel import mapped_memory
from enclave_sim.errors import ConfigurationError, EnclaveError
from enclave_sim.gdb import memory
from enclave_sim.gdb.execution import Motion, StopReason
from enclave_sim.gdb.monitor import Monitor
from enclave_sim.gdb.points import PointKind, Points
from enclave_sim.gdb.protocol.fields import Malformed, number, numbers
from enclave_sim.gdb.protocol.link import Link
from enclave_sim.gdb.protocol.packets import PACKET_SIZE
from enclave_sim.gdb.protocol.target_description import target_description
from enclave_sim.gdb.registers import I386, X86_64
from enclave_sim.gdb.writing import NotMapped, Writing
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.travel import Travel

MALFORMED, NOT_MAPPED = b"E01", b"E0e"
"""EPERM and EFAULT: gdb shows only the number."""
_ELSEWHERE = b"E.a run goes on where it is: write to the program counter instead"
_LONGEST_OUTPUT = PACKET_SIZE // 2 - 1
_FIXED = {
    b"qAttached": b"1",
    b"qC": b"QC1",
    b"qfThreadInfo": b"m1",
    b"qsThreadInfo": b"l",
    b"qSymbol::": b"OK",
} | dict.fromkeys((b"qqemu.sstepbits", b"Qqemu.sstepbits"), b"ENABLE=1")
"""QEMU's `sstepbits`: nothing stands still during steps. gef and pwndbg recognize a full-system emulator by it."""
_MONITOR, _FEATURES, _MEMORY_MAP = b"qRcmd,", b"qXfer:features:read:target.xml:", b"qXfer:memory-map:read::"


class Detached(Exception):  # noqa: N818 - not an error
    """The debugger has detached from or killed the target."""


class Stub:
    """Answers the packets of one gdb about a session."""

    def __init__(self, session: Travel[Any], link: Link) -> None:
        self._session = session
        self._link = link
        self._points = Points(session)
        self._motion = Motion(session, self._points, link.interrupted)
        self._monitor = Monitor(session)
        self._stopped = StopReason()
        self._written = ""
        """A message about writes, shown at the next stop because the answer to a write cannot contain one."""
        self._extended = False
        """True if gdb may restart the run (`target extended-remote`)."""
        self._architecture = I386 if session.program.bits == 32 else X86_64
        self._writing = Writing(session, self._architecture)
        self._has_map = isinstance(session.subject, Enclave)
        """gdb reads nothing outside the map, and only the enclave's kernel is known to have an identity mapping."""
        self._answers: dict[bytes, Callable[[bytes], bytes]] = {
            b"!": self._extend,
            b"?": lambda _rest: self._stop_reply(self._stopped),
            b"g": self._read_all,
            b"p": self._read_register,
            b"m": self._read_memory,
            b"x": self._read_binary,
            b"G": lambda rest: self._write(self._writing.all_registers, rest),
            b"P": lambda rest: self._write(self._writing.one_register, rest),
            b"M": lambda rest: self._write(self._writing.memory, rest),
            b"X": lambda rest: self._write(self._writing.binary, rest),
            b"Z": self._insert,
            b"z": self._remove,
            b"c": self._continue,
            b"C": lambda rest: self._continue(rest.partition(b";")[2]),
            b"s": self._step,
            b"S": lambda rest: self._step(rest.partition(b";")[2]),
            b"b": self._backward,
            b"v": self._verbose,
            b"H": _accepted,
            b"T": _accepted,
            b"q": lambda rest: self._query(b"q" + rest),
            b"Q": lambda rest: self._query(b"Q" + rest),
            b"D": _accepted,
            b"k": self._kill,
        }

    def serve(self) -> None:
        """Answer packets until gdb detaches (Detached) or its connection ends (Gone). Then remove its points."""
        try:
            while True:
                packet = self._link.receive()
                self._link.send(self.answer(packet))
                if packet[:1] == b"D" or (packet.startswith(b"vKill") and not self._extended):
                    raise Detached
        finally:
            self._points.clear()

    def answer(self, packet: bytes) -> bytes:
        """Return the answer to one packet; empty for an unknown one. Console output may be sent first."""
        found = self._answers.get(packet[:1])
        if found is None:
            return b""
        try:
            return found(packet[1:])
        except Malformed:
            return MALFORMED

    # Registers and memory

    def _read_all(self, _rest: bytes) -> bytes:
        machine = self._session.machine
        return b"".join(one.value(machine) for one in self._architecture.registers).hex().encode()

    def _read_register(self, rest: bytes) -> bytes:
        index = number(rest)
        if index >= len(self._architecture.registers):
            raise Malformed
        return self._architecture.registers[index].value(self._session.machine).hex().encode()

    def _read(self, rest: bytes) -> bytes | None:
        address, length = numbers(rest, 2)
        found = mapped_memory.read(self._session.machine, address, min(length, _LONGEST_OUTPUT))
        return found if found or not length else None

    def _read_memory(self, rest: bytes) -> bytes:
        found = self._read(rest)
        return NOT_MAPPED if found is None else found.hex().encode()

    def _read_binary(self, rest: bytes) -> bytes:
        found = self._read(rest)
        return NOT_MAPPED if found is None else b"b" + found

    def _write(self, write: Callable[[bytes], None], rest: bytes) -> bytes:
        here = self._session.now
        try:
            write(rest)
        except NotMapped:
            return NOT_MAPPED
        except EnclaveError as error:
            return f"E.{error}".encode()
        if self._session.now != here:
            self._monitor.forget_after(here)
            self._written = f"written at {here}: later events are discarded"
        return b"OK"

    # Breakpoints and watchpoints

    def _insert(self, rest: bytes) -> bytes:
        kind, address, size = _point(rest)
        try:
            self._points.insert(kind, address, size)
        except ConfigurationError as error:
            return f"E.{error}".encode()
        return b"OK"

    def _remove(self, rest: bytes) -> bytes:
        self._points.remove(*_point(rest))
        return b"OK"

    # Motions

    def _stop_reply(self, stopped: StopReason) -> bytes:
        self._stopped = stopped
        for message in filter(None, (self._written, stopped.message)):
            self._output(f"{message}\n")
        self._written = ""
        machine = self._session.machine
        accepted = b"swbreak+" in self._link.features or not stopped.reason.endswith("break:")
        registers, known = self._architecture.registers, self._architecture.numbers
        expedited = [known[name] for name in self._architecture.expedited]
        parts = [f"{index:02x}:{registers[index].value(machine).hex()}" for index in expedited]
        parts += ["thread:1", *([stopped.reason] if stopped.reason and accepted else [])]
        return f"T{stopped.signal:02x}{';'.join(parts)};".encode()

    def _continue(self, address: bytes) -> bytes:
        return _ELSEWHERE if address else self._stop_reply(self._motion.resume())

    def _step(self, address: bytes) -> bytes:
        return _ELSEWHERE if address else self._stop_reply(self._motion.step())

    def _backward(self, rest: bytes) -> bytes:
        if rest not in (b"s", b"c"):
            return b""
        return self._stop_reply(self._motion.back() if rest == b"s" else self._motion.reverse_resume())

    def _verbose(self, rest: bytes) -> bytes:
        if rest == b"Cont?":
            return b"vCont;c;C;s;S;r"
        if rest.startswith(b"Kill;"):
            return b"OK"
        if rest.startswith(b"Run;") and self._extended:
            return self._restart(rest)
        if not rest.startswith(b"Cont;"):
            return b""
        action, _, range_ = rest[5:].partition(b";")[0].partition(b":")[0].partition(b"r")
        match action[:1]:
            case b"c" | b"C":
                return self._stop_reply(self._motion.resume())
            case b"s" | b"S":
                return self._stop_reply(self._motion.step())
        if action or not range_:
            raise Malformed
        return self._stop_reply(self._motion.step_within(*numbers(range_, 2)))

    # Queries

    def _query(self, packet: bytes) -> bytes:
        if packet.startswith(_FEATURES):
            return _piece(target_description(self._architecture), packet[len(_FEATURES) :])
        if packet.startswith(_MEMORY_MAP):
            if not self._has_map:
                return NOT_MAPPED
            return _piece(memory.memory_map(self._session.machine.ram.size), packet[len(_MEMORY_MAP) :])
        if packet.startswith(_MONITOR):
            return self._command(packet[len(_MONITOR) :])
        if packet.startswith(b"qThreadExtraInfo,"):
            return self._monitor.thread().encode().hex().encode()
        return _FIXED.get(packet, b"")

    def _command(self, text: bytes) -> bytes:
        try:
            line = bytes.fromhex(text.decode("ascii")).decode("utf-8", "replace")
        except ValueError:
            raise Malformed from None
        start = self._session.now
        try:
            with self._motion.cancellable():
                said = self._monitor.run(line)
        except Cancelled:
            self._session.go_to(start)
            said = "interrupted\n"
        self._output(said)
        return b"OK"

    def _output(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        for start in range(0, len(data), _LONGEST_OUTPUT):
            self._link.send(b"O" + data[start : start + _LONGEST_OUTPUT].hex().encode(), more=True)

    # The beginning and the end

    def _extend(self, _rest: bytes) -> bytes:
        self._extended = True
        return b"OK"

    def _restart(self, _rest: bytes) -> bytes:
        """Go to the beginning. gdb's program and arguments are ignored: the run has its own."""
        self._session.go_to(Position(0))
        return self._stop_reply(StopReason())

    def _kill(self, _rest: bytes) -> bytes:
        raise Detached


def _accepted(_rest: bytes) -> bytes:
    """Accept `H` and `T` for the only thread, and `D`, which detaches."""
    return b"OK"


def _point(rest: bytes) -> tuple[PointKind, int, int]:
    """Return kind, address and size. gdb checks conditions itself: support for them was not announced."""
    kind, address, size = numbers(rest.partition(b";")[0], 3)
    try:
        return PointKind(kind), address, size
    except ValueError:
        raise Malformed from None


def _piece(document: bytes, place: bytes) -> bytes:
    """Return a part of a document: `m` and the part, or `l` and the last part."""
    offset, length = numbers(place, 2)
    piece = document[offset : offset + min(length, PACKET_SIZE // 2)]
    return (b"l" if offset + len(piece) >= len(document) else b"m") + piece
