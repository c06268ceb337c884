"""The hash engine: SHA-256 (FIPS 180-4) of physical memory, by DMA.

Register layout (32 bits each, from the base of the block):

    0x00 ID       reads 0x48534148 ("HASH"): the engine is present
    0x04 STATUS   bit 0 DONE, bit 1 BAD_RANGE (set by a command, cleared by the next)
    0x08 BASE     0x0C LENGTH   the range, in bytes
    0x10 GO       1 = hash the range
    0x20-0x3F     DIGEST, in the order of its bytes; zero after BAD_RANGE

A command takes BLOCK_NS of virtual time for each 64-byte block that SHA-256 processes.
"""

from machine.bus.bus import Device
from machine.bus.ram import Ram
from machine.processor.clock import Clock

ADDRESS = 0xFED5_1000
ID = 0x4853_4148
BLOCK_BYTES = 64
BLOCK_NS = 32
DONE, BAD_RANGE = 1, 2
_STATUS, _BASE, _LENGTH, _GO = 0x04, 0x08, 0x0C, 0x10
_DIGEST, _DIGEST_END = 0x20, 0x40
_PADDING = 9
"""The minimum number of bytes that SHA-256 appends."""


class HashEngine(Device):
    """The hash engine. It reads RAM and never writes it."""

    STATE = ("_registers", "_digest")
    WIRING = ("_ram", "_clock")

    def __init__(self, ram: Ram, clock: Clock) -> None:
        super().__init__()
        self._ram = ram
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Clear range and digest."""
        self._registers = {0x00: ID, _STATUS: 0, _BASE: 0, _LENGTH: 0}
        self._digest = bytes(32)

    def read(self, offset: int, size: int) -> int:
        """Return a register, or `size` bytes of the digest."""
        if _DIGEST <= offset < _DIGEST_END:
            start = offset - _DIGEST
            return int.from_bytes(self._digest[start : start + size], "little")
        return self._registers.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Set base or length, or hash the range."""
        if offset in (_BASE, _LENGTH):
            self._registers[offset] = value & 0xFFFF_FFFF
        elif offset == _GO and value == 1:
            self._run(self._registers[_BASE], self._registers[_LENGTH])

    def invert(self, register: str, bits: int) -> None:
        """Invert bits of `base` or `length`, as a fault of the device would."""
        self._registers[_BASE if register == "base" else _LENGTH] ^= bits

    def _run(self, base: int, length: int) -> None:
        if base + length > self._ram.size:
            self._registers[_STATUS], self._digest = DONE | BAD_RANGE, bytes(32)
            return
        self._clock.spend(-(-(length + _PADDING) // BLOCK_BYTES) * BLOCK_NS)
        import hashlib  # noqa: PLC0415 - `boot` does not need it, and starts sooner without

        self._digest = hashlib.sha256(self._ram.read(base, length)).digest()
        self._registers[_STATUS] = DONE
