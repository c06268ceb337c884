"""A window: registers of one device that the processor reads from host memory, without calling Python.

Only native code uses it. Without native code the bus calls the device, which must return the same values.
"""

import ctypes


class Window(ctypes.Structure):
    """`struct window` of step_hook.c. It is closed until `show` opens it."""

    _fields_ = [
        ("first", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("memory", ctypes.c_void_p),
        ("reads", ctypes.c_uint64),
        ("bus", ctypes.c_void_p),
    ]
    first: int
    """Offset of the registers from the start of the device range, in bytes."""
    size: int
    memory: int | None
    reads: int
    """Number of reads answered."""
    bus: int | None
    """The native function for reads outside the window."""

    def show(self, memory: bytearray | None) -> None:
        """Open the window onto memory, or close it.

        Args:
            memory: The register contents. They may change, but resizing the memory raises BufferError until the window
            is closed. None closes the window.
        """
        self._held = None if memory is None else ctypes.c_ubyte.from_buffer(memory)
        self.memory = None if self._held is None else ctypes.addressof(self._held)
        self.size = 0 if memory is None else len(memory)
