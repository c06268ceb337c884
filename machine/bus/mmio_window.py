"""A window: registers of one device that the processor reads from host memory, and may write, without calling Python.

Only native code uses it. Without native code the bus calls the device, which must return the same values.
"""

import ctypes


class Window(ctypes.Structure):
    """`struct window` of step_hook.c and device_writes.c. It is closed until `show` opens it."""

    _fields_ = [
        ("first", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("memory", ctypes.c_void_p),
        ("reads", ctypes.c_uint64),
        ("bus", ctypes.c_void_p),
        ("writable", ctypes.c_uint64),
        ("writes", ctypes.c_uint64),
        ("bus_for_writes", ctypes.c_void_p),
    ]
    first: int
    """Offset of the registers from the start of the device range, in bytes."""
    size: int
    memory: int | None
    reads: int
    """Number of reads answered."""
    bus: int | None
    """The native function for reads outside the window."""
    writable: int
    """Nonzero: a write to the registers has no effect but to change the memory."""
    writes: int
    """Number of writes taken."""
    bus_for_writes: int | None
    """The native function for all other writes."""

    def show(self, memory: bytearray | None) -> None:
        """Open the window onto memory, or close it.

        Args:
            memory: The register contents. They may change, but resizing the memory raises BufferError until the window
            is closed. None closes the window.
        """
        self._held = None if memory is None else ctypes.c_ubyte.from_buffer(memory)
        self.memory = None if self._held is None else ctypes.addressof(self._held)
        self.size = 0 if memory is None else len(memory)

    def let_write(self, writable: bool) -> None:
        """Let native code write to the memory shown, or pass all writes to the device."""
        self.writable = writable
