"""isa-debug-exit, as QEMU has it with iobase=0xf4,iosize=4: a write of any width ends the run.

The exit status is value * 2 + 1; a process can pass on its low 8 bits. Reads give zero.
"""

from collections.abc import Callable

from machine.bus.bus import Device

PORT, PORTS = 0xF4, 4


class DebugExit(Device):
    """Keeps the exit status and asks the machine to stop."""

    STATE = ("status",)
    WIRING = ("_request_stop",)

    def __init__(self, request_stop: Callable[[], None]) -> None:
        super().__init__()
        self._request_stop = request_stop
        self.status: int | None = None
        """What the guest left with, or None."""

    def reset(self) -> None:
        """Forget the status."""
        self.status = None

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Leave with `value`."""
        self.status = value << 1 | 1
        self._request_stop()
