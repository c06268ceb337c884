"""The interface of a device, interrupt lines, and the bus that connects the processor to devices.

A device is a block of registers, addressed by their offset from the start of the block. Reads and writes have a size
in bytes; registers that a device does not have read as zero. Without a device the bus floats, as on a PC: reads return
all ones, and writes are ignored. A device declares its state: see machine/state.py.

One device in a machine may have a window: registers such as a data buffer that behave as memory and have no side
effects when read. Native code then reads them without calling the device, and writes them while the device lets it.
"""

from collections.abc import Callable
from typing import ClassVar

from machine.bus.mmio_window import Window
from machine.bus.ram import PAGE_SIZE
from machine.errors import MachineError
from machine.state import Stateful

MMIO_BASE = 0xFEC0_0000
MMIO_SIZE = 0x0040_0000

Line = Callable[[bool], None]
"""An interrupt line: called with True to assert it, else with False. A level may be repeated."""


def unconnected(level: bool) -> None:
    """Ignore the level: an unconnected interrupt line."""


class Device(Stateful):
    """Base class of devices: it has no registers and no timer.

    Devices override what they need. A device with a timer calls `rescheduled` whenever its deadline or a pending
    interrupt may have changed.
    """

    STATE: ClassVar[tuple[str, ...]] = ("deadline_ns",)
    WIRING: ClassVar[tuple[str, ...]] = ("rescheduled", "expose", "let_write")

    WINDOW: ClassVar[range | None] = None
    """Offsets of the registers that `expose` may make readable as memory: see machine/bus/mmio_window.py."""

    def __init__(self) -> None:
        self.rescheduled: Callable[[], None] = lambda: None
        self.expose: Callable[[bytearray | None], None] = lambda _: None
        """Called with the memory from which `WINDOW` is read from now on; None to call `read` again."""
        self.let_write: Callable[[bool], None] = lambda _: None
        """Called with True while a write to `WINDOW` has no effect but to change that memory."""
        self.deadline_ns: int | None = None
        """Virtual time at which `tick` must be called, or None."""

    def reset(self) -> None:
        """Return to the power-on state, or, if the device says so, to the state left by PC firmware."""

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002 - the contract's shape
        """Return the register at `offset`, for a read of `size` bytes."""
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Write `size` bytes of `value` to the register at `offset`."""

    def tick(self, now_ns: int) -> None:
        """Act on the deadline, which has passed."""


class Bus:
    """The bus: devices at I/O ports, and at 4 KiB blocks of the physical range 0xFEC00000-0xFEFFFFFF."""

    def __init__(self) -> None:
        self._ports: dict[int, tuple[Device, int, int]] = {}
        self._blocks: dict[int, Device] = {}
        self.devices: list[Device] = []
        self.window = Window()
        """The part of the device range that native code reads without calling the bus."""
        self._accesses = 0

    @property
    def accesses(self) -> int:
        """Number of reads and writes by the processor so far."""
        return self._accesses + self.window.reads + self.window.writes

    @accesses.setter
    def accesses(self, count: int) -> None:
        self._accesses, self.window.reads, self.window.writes = count, 0, 0

    def attach_ports(self, device: Device, base: int, count: int, *, offset: int = 0, width: int = 1) -> None:
        """Attach a device to I/O ports.

        An access wider than `width`, or one that leaves the block, is split into consecutive narrower ones, lowest port
        first, as by a PC's bus controller.

        Args:
            device: The device.
            base: The first port, 0 to 0xFFFF.
            count: The number of ports.
            offset: The device's register at `base`; the registers after it are at the following ports.
            width: The widest access in bytes that the device accepts: 1, 2 or 4.

        Raises:
            MachineError: A port is taken by another device, or does not exist.
        """
        for port in range(base, base + count):
            if port in self._ports or not 0 <= port <= 0xFFFF:
                raise MachineError(f"I/O port {port:#x} is taken or does not exist")
        for index in range(count):
            self._ports[base + index] = (device, offset + index, min(width, count - index))
        self._add(device)

    def attach_memory(self, device: Device, address: int) -> None:
        """Attach a device to the 4 KiB at a physical address.

        Args:
            device: The device.
            address: A multiple of 4096 in the device range.

        Raises:
            MachineError: The block is taken, unaligned or outside the device range, or this is the second device with
                a window.
        """
        inside = MMIO_BASE <= address < MMIO_BASE + MMIO_SIZE
        if not inside or address % PAGE_SIZE or address in self._blocks:
            raise MachineError(f"device block {address:#x} is taken, unaligned or outside the device range")
        if device.WINDOW is not None:
            if any(other.WINDOW is not None for other in self._blocks.values()):
                raise MachineError(f"device block {address:#x} has a window, and the machine has one already")
            self.window.first = address - MMIO_BASE + device.WINDOW.start
            device.expose, device.let_write = self.window.show, self.window.let_write
        self._blocks[address] = device
        self._add(device)

    def _add(self, device: Device) -> None:
        if device not in self.devices:
            self.devices.append(device)

    def read_port(self, port: int, size: int) -> int:
        """Read 1, 2 or 4 bytes from a port: IN."""
        self._accesses += 1
        found = self._ports.get(port)
        if found is not None and size <= found[2]:
            return found[0].read(found[1], size)
        if size == 1:
            return 0xFF
        half = size // 2
        low = self.read_port(port, half)
        return low | self.read_port(port + half, half) << 8 * half

    def write_port(self, port: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes to a port: OUT."""
        self._accesses += 1
        found = self._ports.get(port)
        if found is not None and size <= found[2]:
            found[0].write(found[1], size, value)
        elif size > 1:
            half = size // 2
            self.write_port(port, half, value & (1 << 8 * half) - 1)
            self.write_port(port + half, half, value >> 8 * half)

    def read_memory(self, offset: int, size: int) -> int:
        """Load from the device range; `offset` counts from MMIO_BASE."""
        self._accesses += 1
        device = self._blocks.get(MMIO_BASE + offset & -PAGE_SIZE)
        return (1 << 8 * size) - 1 if device is None else device.read(offset % PAGE_SIZE, size)

    def write_memory(self, offset: int, size: int, value: int) -> None:
        """Store to the device range; `offset` counts from MMIO_BASE."""
        self._accesses += 1
        device = self._blocks.get(MMIO_BASE + offset & -PAGE_SIZE)
        if device is not None:
            device.write(offset & PAGE_SIZE - 1, size, value)
