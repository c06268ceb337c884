"""Prepared groups of CPU registers: one call into Unicorn moves a whole group.

A single register access of the Python binding costs 5 us, a group 1-2 us whatever its size.
"""

import ctypes
from collections.abc import Mapping, Sequence

from unicorn import Uc, x86_const

from machine.unicorn_calls import engine_handle, reg_read_batch, reg_write_batch


class SystemSegment(ctypes.Structure):
    """A descriptor-table or task register with its hidden part, as Unicorn lays it out (uc_x86_mmr)."""

    _fields_ = [
        ("selector", ctypes.c_uint16),
        ("base", ctypes.c_uint64),
        ("limit", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    ]
    selector: int
    base: int
    limit: int
    flags: int


TABLE_REGISTERS = ("GDTR", "IDTR", "LDTR", "TR")


def register_id(name: str) -> int:
    """Unicorn's number of a register by its manual name, such as `RAX` or `CR3`."""
    return int(getattr(x86_const, f"UC_X86_REG_{name}"))


class RegisterGroup:
    """Registers that are read or written together, in a fixed order.

    `values` is a ctypes array for the plain registers, in order; `tables` holds the table registers by name. Groups
    may share `tables`: what one has read another writes back.
    """

    def __init__(self, uc: Uc, names: Sequence[str], tables: Mapping[str, SystemSegment] | None = None) -> None:
        self._uc = uc
        self._count = len(names)
        plain = [name for name in names if name not in TABLE_REGISTERS]
        self.values = (ctypes.c_uint64 * len(plain))()
        shared = tables or {}
        self.tables = {n: shared.get(n) or SystemSegment() for n in names if n in TABLE_REGISTERS}
        width = ctypes.sizeof(ctypes.c_uint64)
        start = ctypes.addressof(self.values)
        addresses = {name: start + width * i for i, name in enumerate(plain)}
        addresses |= {name: ctypes.addressof(table) for name, table in self.tables.items()}
        self._ids = (ctypes.c_int * self._count)(*[register_id(name) for name in names])
        self._pointers = (ctypes.c_void_p * self._count)(*[addresses[name] for name in names])
        ids, pointers = ctypes.addressof(self._ids), ctypes.addressof(self._pointers)
        self._arguments = engine_handle(uc), ids, pointers, self._count

    def read(self) -> "ctypes.Array[ctypes.c_uint64]":
        """Take the CPU's values."""
        reg_read_batch(*self._arguments)
        return self.values

    def write(self) -> None:
        """Give the CPU these values."""
        reg_write_batch(*self._arguments)
