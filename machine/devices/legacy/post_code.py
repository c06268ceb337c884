"""The POST code display at port 0x80: shows the last byte written."""

from machine.bus.bus import Device

PORT = 0x80


class PostCode(Device):
    """The display: one latched byte."""

    STATE = ("code",)

    def __init__(self) -> None:
        super().__init__()
        self.code = 0

    def reset(self) -> None:
        """Show zero."""
        self.code = 0

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002
        """Return the byte shown."""
        return self.code

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Show the low byte of `value`."""
        self.code = value & 0xFF
