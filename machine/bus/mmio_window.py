"""A window: registers of one device that the processor reads in host memory, without a call into Python.

Only native code looks through it. Without that, the bus asks the device, which must give the same answers.
"""

import ctypes


class Window(ctypes.Structure):
    """`struct window` of step_hook.c; it is closed until `show` is told of memory."""

    _fields_ = [
        ("first", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("memory", ctypes.c_void_p),
        ("reads", ctypes.c_uint64),
        ("bus", ctypes.c_void_p),
    ]
    first: int
    """Where the registers begin, in bytes from the start of the device range."""
    size: int
    memory: int | None
    reads: int
    """How many reads it has answered."""
    bus: int | None
    """The native function that answers what the window does not."""

    def show(self, memory: bytearray | None) -> None:
        """The registers read as `memory`, which may change but not its size; None closes the window.

        The memory is held until then: resizing it raises BufferError.
        """
        self._held = None if memory is None else ctypes.c_ubyte.from_buffer(memory)
        self.memory = None if self._held is None else ctypes.addressof(self._held)
        self.size = 0 if memory is None else len(memory)
