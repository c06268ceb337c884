"""isa-debug-exit, like QEMU's with iobase=0xf4,iosize=4: a write of any width ends the run.

The exit status is value * 2 + 1; a process can return its low 8 bits. Reads return zero.
"""

from collections.abc import Callable

from machine.bus.bus import Device

PORT, PORTS = 0xF4, 4


class DebugExit(Device):
    """The exit device: it stores the exit status and asks the machine to stop."""

    STATE = ("status",)
    WIRING = ("_request_stop",)

    def __init__(self, request_stop: Callable[[], None]) -> None:
        super().__init__()
        self._request_stop = request_stop
        self.status: int | None = None
        """The exit status, or None if software has not written one."""

    def reset(self) -> None:
        """Clear the status."""
        self.status = None

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """End the run with a value."""
        self.status = value << 1 | 1
        self._request_stop()
