"""isa-debug-exit, as QEMU has it at port 0xF4: a write ends the run with status value * 2 + 1."""

from collections.abc import Callable

from machine.device import Device

PORT = 0xF4


class DebugExit(Device):
    """Keeps the exit status and asks the machine to stop."""

    def __init__(self, request_stop: Callable[[], None]) -> None:
        super().__init__()
        self._request_stop = request_stop
        self.status: int | None = None

    def reset(self) -> None:
        """Forget the status."""
        self.status = None

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Leave with `value`."""
        self.status = value * 2 + 1
        self._request_stop()
