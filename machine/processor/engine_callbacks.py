"""Callbacks from Unicorn into Python: device memory, ports and the time stamp counter.

A Python exception cannot pass through Unicorn: it is kept in `failure`, and `Engine.execute` raises it.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from unicorn import UC_HOOK_BLOCK, UC_HOOK_INSN, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, Uc, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.bus.bus import MMIO_BASE, MMIO_SIZE, Bus
from machine.bus.ram import Ram
from machine.errors import MachineError
from machine.processor.clock import Clock
from machine.processor.step_hook import add_hook

_void, _u64, _u32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
_MEM_WRITE = 17  # UC_MEM_WRITE
_PHYSICAL_BITS = 52
"""Width of an address in a page-table entry, whatever CPUID reports."""


class Callbacks:
    """The callbacks of one engine.

    Args:
        uc: The engine.
        ram: RAM, to which devices may write.
        bus: Answers accesses to ports and devices.
        clock: Stopped when a callback fails.
        keep_flags: Called after an observed memory access.
        hide_rewritten: Called after a device has written to a page with code.
        on_device_read: The native function that reads a device's window; None for none.
        on_device_write: The one that writes it.
    """

    def __init__(
        self,
        uc: Uc,
        ram: Ram,
        bus: Bus,
        clock: Clock,
        *,
        keep_flags: Callable[[], None],
        hide_rewritten: Callable[[], None],
        on_device_read: int | None,
        on_device_write: int | None,
    ) -> None:
        self._uc = uc
        self._ram = ram
        self._bus = bus
        self._clock = clock
        self._keep_flags = keep_flags
        self._hide_rewritten = hide_rewritten
        self._on_device_read, self._on_device_write = on_device_read, on_device_write
        self.watchers: list[Callable[[bool, int, int], None]] = []
        """Functions called for each memory access with: True for a write, physical address, bytes."""
        self.on_watch: Callable[[], None] = lambda: None
        """Called when `watch_memory` begins."""
        self.failure: BaseException | None = None
        """The first exception raised in a callback since `Engine.execute` last took one."""
        self.on_port: Callable[[int, int], None] | None = None
        """Called with port and bytes of each port access, while a debug register watches ports."""
        self._kept: list[object] = []
        for hole in (range(ram.size, MMIO_BASE), range(MMIO_BASE + MMIO_SIZE, 1 << _PHYSICAL_BITS)):
            if hole:
                self._map_devices(hole.start, len(hole))
        self._map_devices(MMIO_BASE, MMIO_SIZE)
        self._hook_instructions()

    def _make(self, prototype: Any, function: Callable[..., Any]) -> Any:
        """Return a C function that calls `function`, and keep it alive."""

        def guarded(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised again by Engine.execute()
                self._fail(error)
                return 0

        callback = prototype(guarded)
        self._kept.append(callback)
        return callback

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self._clock.stop()

    # Memory

    def watch_memory(
        self, seen: Callable[[bool, int, int], None], within: range | None = None, *, reads: bool = True
    ) -> Callable[[], None]:
        """Report each memory access by an instruction.

        Earlier translations would report no accesses, so they are dropped.

        Args:
            seen: Called with True for a write, the physical address and the size in bytes.
            within: The physical addresses at which an access begins; others may be reported, too. None for all.
            reads: False to report writes; reads may be reported, too.

        Returns:
            A function that ends the reports.
        """

        def accessed(_uc: int, kind: int, address: int, size: int, _value: int, _user: int) -> None:
            seen(kind == _MEM_WRITE, address, size)
            self._keep_flags()

        prototype = ctypes.CFUNCTYPE(None, _void, ctypes.c_int, _u64, ctypes.c_int, ctypes.c_int64, _void)
        callback = self._make(prototype, accessed)
        kinds = UC_HOOK_MEM_WRITE | (UC_HOOK_MEM_READ if reads else 0)
        handle = add_hook(self._uc, kinds, callback, within=within)
        self._uc.ctl_flush_tb()
        self.watchers.append(seen)
        self.on_watch()

        def end() -> None:
            self.watchers.remove(seen)
            uclib.uc_hook_del(self._uc._uch, handle)
            self._kept.remove(callback)
            self._uc.ctl_flush_tb()

        return end

    def watch_blocks(self, seen: Callable[[int, int], None]) -> Callable[[], None]:
        """Report each block of translated code before it is executed, while `watch_memory` reports accesses, too.

        Args:
            seen: Called with the linear address of the first instruction, and the size in bytes.

        Returns:
            A function that ends the reports.
        """

        def entered(_uc: int, address: int, size: int, _user: int) -> None:
            seen(address, size)

        callback = self._make(ctypes.CFUNCTYPE(None, _void, _u64, _u32, _void), entered)
        handle = add_hook(self._uc, UC_HOOK_BLOCK, callback)
        self._uc.ctl_flush_tb()

        def end() -> None:
            uclib.uc_hook_del(self._uc._uch, handle)
            self._kept.remove(callback)
            self._uc.ctl_flush_tb()

        return end

    def _map_devices(self, address: int, size: int) -> None:
        reads = ctypes.CFUNCTYPE(_u64, _void, _u64, ctypes.c_uint, _void)
        writes = ctypes.CFUNCTYPE(None, _void, _u64, ctypes.c_uint, _u64, _void)
        devices = address == MMIO_BASE
        read = reads(self._on_mmio_read if devices else _floating)
        write = writes(self._on_mmio_write if devices else _ignore)
        self._kept += [read, write]
        on_read, on_write, window = ctypes.cast(read, _void), ctypes.cast(write, _void), None
        if devices and self._on_device_read is not None and self._on_device_write is not None:
            window = self._bus.window
            window.bus, window.bus_for_writes = on_read.value, on_write.value
            on_read, on_write = _void(self._on_device_read), _void(self._on_device_write)
        status = uclib.uc_mmio_map(
            self._uc._uch,
            address,
            size,
            on_read,
            None if window is None else ctypes.byref(window),
            on_write,
            None if window is None else ctypes.byref(window),
        )
        if status:
            raise MachineError(f"cannot map devices at {address:#x}: Unicorn error {status}")

    def _on_mmio_read(self, _uc: int, offset: int, size: int, _user: int) -> int:
        try:  # not by `_make`, because these two are the hottest callbacks
            value = self._bus.read_memory(offset, size)
            if self._ram.rewritten:
                self._hide_rewritten()
        except BaseException as error:  # noqa: BLE001 - raised again by Engine.execute()
            self._fail(error)
            return 0
        return value

    def _on_mmio_write(self, _uc: int, offset: int, size: int, value: int, _user: int) -> None:
        try:
            self._bus.write_memory(offset, size, value)
            if self._ram.rewritten:
                self._hide_rewritten()
        except BaseException as error:  # noqa: BLE001 - raised again by Engine.execute()
            self._fail(error)

    # Instructions

    def _hook_instructions(self) -> None:
        port_in = ctypes.CFUNCTYPE(_u32, _void, _u32, ctypes.c_int, _void)
        port_out = ctypes.CFUNCTYPE(None, _void, _u32, ctypes.c_int, _u32, _void)
        for number, prototype, function in (
            (x86_const.UC_X86_INS_IN, port_in, self._on_in),
            (x86_const.UC_X86_INS_OUT, port_out, self._on_out),
        ):
            add_hook(self._uc, UC_HOOK_INSN, self._make(prototype, function), instruction=number)

    def _on_in(self, _uc: int, port: int, size: int, _user: int) -> int:
        if self.on_port is not None:
            self.on_port(port, size)
        value = self._bus.read_port(port, size)
        if self._ram.rewritten:
            self._hide_rewritten()
        return value

    def _on_out(self, _uc: int, port: int, size: int, value: int, _user: int) -> None:
        if self.on_port is not None:
            self.on_port(port, size)
        self._bus.write_port(port, size, value & (1 << 8 * size) - 1)
        if self._ram.rewritten:
            self._hide_rewritten()


def _ignore(_uc: int, _offset: int, _size: int, _value: int, _user: int) -> None:
    pass


def _floating(_uc: int, _offset: int, size: int, _user: int) -> int:
    return (1 << 8 * size) - 1
