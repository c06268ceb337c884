"""The scrub engine: fills physical memory with zeros, or checks that it is zero, by DMA.

Register layout (32 bits each, from the base of the block):

    0x00 ID       reads 0x42524353 ("SCRB"): the engine is present
    0x04 STATUS   bit 0 DONE, bit 1 BAD_RANGE, bit 2 NONZERO (set by a command, cleared by the next)
    0x08 ADDRESS  after NONZERO: the first page with a byte that is not zero
    0x100 + 16 n  channel n of 16: +0 BASE, +4 LENGTH, +8 GO (1 = fill and verify, 2 = verify)

A channel keeps its range, so scrubbing the same range again takes a single store. A command takes LINE_NS of virtual
time for each 64-byte cache line. Every fill is verified by reading back.
"""

from collections.abc import Callable

from machine.bus.bus import Device
from machine.bus.ram import PAGE_SIZE, Ram
from machine.bus.writer import Writer
from machine.processor.clock import Clock

ADDRESS = 0xFED5_0000
ID = 0x4252_4353
LINE_BYTES = 64
LINE_NS = 1
DONE, BAD_RANGE, NONZERO = 1, 2, 4
_WRITER = Writer("device", "scrub engine")
_CHANNELS = 0x100
_CHANNEL_COUNT = 16
_FILL, _VERIFY = 1, 2


class ScrubEngine(Device):
    """The scrub engine. It calls `on_fill(base, length, verified)` after each fill."""

    STATE = ("_status", "_address", "_channels")
    WIRING = ("_ram", "_clock", "on_fill")

    def __init__(self, ram: Ram, clock: Clock) -> None:
        super().__init__()
        self._ram = ram
        self._clock = clock
        self.on_fill: Callable[[int, int, bool], None] | None = None
        self._status = 0
        self._address = 0
        self._channels = [[0, 0] for _ in range(_CHANNEL_COUNT)]

    def reset(self) -> None:
        """Clear all ranges."""
        self._status = self._address = 0
        self._channels = [[0, 0] for _ in range(_CHANNEL_COUNT)]

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002
        """Return ID, STATUS, ADDRESS, or a channel's base or length."""
        if offset < _CHANNELS:
            return {0x00: ID, 0x04: self._status, 0x08: self._address}.get(offset, 0)
        channel, register = divmod(offset - _CHANNELS, 16)
        if channel < _CHANNEL_COUNT and register in (0, 4):
            return self._channels[channel][register // 4]
        return 0

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Set base or length of a channel, or execute a command."""
        channel, register = divmod(offset - _CHANNELS, 16)
        if not 0 <= channel < _CHANNEL_COUNT:
            return
        if register in (0, 4):
            self._channels[channel][register // 4] = value & 0xFFFF_FFFF
        elif register == 8 and value in (_FILL, _VERIFY):
            self._run(*self._channels[channel], fill=value == _FILL)

    def invert(self, channel: int, register: str, bits: int) -> None:
        """Invert bits of a channel's `base` or `length`, as a fault of the device would."""
        self._channels[channel][("base", "length").index(register)] ^= bits

    def _run(self, base: int, length: int, *, fill: bool) -> None:
        if base + length > self._ram.size:
            self._status = DONE | BAD_RANGE
            return
        self._clock.spend(-(-length // LINE_BYTES) * LINE_NS)
        if fill:
            self._ram.zero(base, length, _WRITER)
        clean = self._ram.is_zero(base, length)
        self._status = DONE if clean else DONE | NONZERO
        self._address = 0 if clean else self._first_page_in_use(base, length)
        if fill and self.on_fill is not None:
            self.on_fill(base, length, clean)

    def _first_page_in_use(self, base: int, length: int) -> int:
        for page in range(base & -PAGE_SIZE, base + length, PAGE_SIZE):
            start, end = max(page, base), min(page + PAGE_SIZE, base + length)
            if not self._ram.is_zero(start, end - start):
                return page
        return 0
