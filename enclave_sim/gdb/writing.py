"""Writes to memory and registers: each is an input at the current position of the run.

A run can be executed in both directions because it depends only on its start and its inputs. So a write becomes an
input: going back over it undoes it, going forward again repeats it, and later events are discarded.
"""

from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.gdb.memory import pieces_of
from enclave_sim.gdb.protocol.fields import Malformed, hex_bytes, number, numbers
from enclave_sim.gdb.registers import Architecture, Register
from enclave_sim.inputs import MemoryWrite, RegisterWrite
from enclave_sim.time_travel.travel import Travel


class NotMapped(Exception):  # noqa: N818 - the error is gdb's
    """Memory is not mapped, or not to RAM."""


class Writing:
    """Executes the packets that write to a session's run.

    Equal values are not written. Each packet is executed completely, or not at all, with Malformed, NotMapped or
    EnclaveError.

    Args:
        session: The session.
        architecture: The registers, as gdb knows them.
    """

    def __init__(self, session: Travel[Any], architecture: Architecture) -> None:
        self._session = session
        self._architecture = architecture

    def memory(self, rest: bytes) -> None:
        """Execute `M`: the linear address, the length, and the bytes in hexadecimal."""
        where, _, data = rest.partition(b":")
        self._write_memory(where, hex_bytes(data))

    def binary(self, rest: bytes) -> None:
        """Execute `X`: the same, with binary data."""
        where, _, data = rest.partition(b":")
        self._write_memory(where, data)

    def one_register(self, rest: bytes) -> None:
        """Execute `P`: the number of a register, and its value."""
        text, _, data = rest.partition(b"=")
        index, registers = number(text), self._architecture.registers
        if index >= len(registers):
            raise Malformed
        self._write_registers([(registers[index], hex_bytes(data))])

    def all_registers(self, rest: bytes) -> None:
        """Execute `G`: the values of all registers. Those that cannot be written must keep their values."""
        data, values = hex_bytes(rest), []
        for one in self._architecture.registers:
            values.append((one, data[: one.bits // 8]))
            data = data[one.bits // 8 :]
        self._write_registers(values)

    def _write_memory(self, where: bytes, data: bytes) -> None:
        address, length = numbers(where, 2)
        machine, done = self._session.machine, 0
        if length != len(data):
            raise Malformed
        pieces = pieces_of(machine, address, length)
        if pieces is None:
            raise NotMapped
        for place in pieces:
            piece = data[done : done + len(place)]
            done += len(place)
            if machine.ram.read(place.start, len(place)) != piece:
                self._session.take(MemoryWrite(at_ns=0, address=place.start, data=piece.hex()))

    def _write_registers(self, values: list[tuple[Register, bytes]]) -> None:
        if any(len(data) != one.bits // 8 for one, data in values):
            raise Malformed
        changed = [(one, data) for one, data in values if one.value(self._session.machine) != data]
        given = [
            RegisterWrite(at_ns=0, register=_name(one), value=int.from_bytes(data, "little")) for one, data in changed
        ]
        for write in given:
            if write.mistake is not None:
                raise ConfigurationError(write.mistake)
        for write in given:
            self._session.take(write)


def _name(register: Register) -> str:
    """Return the name of the 64-bit register that contains a 32-bit one."""
    if register.name == "eflags":
        return "rflags"
    return f"r{register.name[1:]}" if register.name[0] == "e" and len(register.name) == 3 else register.name
