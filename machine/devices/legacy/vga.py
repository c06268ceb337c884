"""The display adapter: a VGA in a text mode (IBM VGA/XGA Technical Reference Manual, 1992, section 2).

    0x3C0 attribute index and data, 0x3C1 data (read)   0x3C2 miscellaneous output (write), input status 0 (read)
    0x3C4 sequencer index, 0x3C5 data                   0x3C6-0x3C9 palette: mask, read index, write index, data
    0x3CA feature control (read), 0x3CC miscellaneous output (read)
    0x3CE graphics controller index, 0x3CF data         0x3D4 CRT controller index, 0x3D5 data
    0x3DA input status 1 (read), feature control (write)

Firmware leaves mode 3: 80 columns, 25 rows, colour, a blank screen and the cursor in the first cell. In text modes,
characters and attributes alternate in memory that behaves as RAM. So it is RAM, and stores to it have no extra cost. As
on QEMU, each read of input status 1 begins or ends a retrace: a loop that waits for one would otherwise execute
millions of instructions.

Not implemented: graphics modes, planes and loadable fonts (the registers keep their values), split screen, panning, the
monochrome ports 0x3B4-0x3BA, and the interrupt of the vertical retrace.
"""

from machine.bus.bus import Device
from machine.bus.ram import Ram
from machine.bus.writer import Writer
from machine.devices.legacy.text_screen import TextScreen

PORT, PORTS = 0x3C0, 16
CRTC_PORT = 0x3D4
STATUS_PORT = 0x3DA
TEXT_MEMORY, TEXT_MEMORY_SIZE = 0xB_8000, 0x8000
"""Physical address and length in bytes of text-mode memory."""

ATTRIBUTE, ATTRIBUTE_DATA, MISCELLANEOUS = 0, 1, 2
SEQUENCER, SEQUENCER_DATA = 4, 5
PALETTE_MASK, PALETTE_READ, PALETTE_WRITE, PALETTE_DATA = 6, 7, 8, 9
FEATURE_READ, MISCELLANEOUS_READ = 0xA, 0xC
GRAPHICS, GRAPHICS_DATA = 0xE, 0xF
CRTC, CRTC_DATA, STATUS = CRTC_PORT - PORT, CRTC_PORT - PORT + 1, STATUS_PORT - PORT
"""Offsets of the registers, from port 0x3C0."""

_WRITER = Writer("device", "display adapter")
_CRTC_MODE_3 = bytes.fromhex("5f4f50825581bf1f004f0d0e000000009c8e8f281f96b9a3ff")
_SEQUENCER_MODE_3 = bytes.fromhex("0300030002")
_GRAPHICS_MODE_3 = bytes.fromhex("0000000000100e0fff")
_ATTRIBUTES_MODE_3 = bytes.fromhex("000102030405140738393a3b3c3d3e3f0c000f0800")
_SEQUENCER_MASKS = bytes.fromhex("033d0f3f0e")
_GRAPHICS_MASKS = bytes.fromhex("0f0f0f1f037b0f0fff")
_ATTRIBUTE_MASKS = b"\x3f" * 16 + bytes.fromhex("efff3f0f0f")
_MISCELLANEOUS_MODE_3 = 0x67
_PALETTE_ON = 0x20
"""Bit of the attribute index: the palette drives the display."""
_WINDOWS = (0xA_0000, 0xA_0000, 0xB_0000, TEXT_MEMORY)
"""Start of the adapter's memory by bits 3 to 2 of graphics register 6."""

_COLUMNS, _OVERFLOW, _LINES_PER_ROW, _CURSOR_START, _CURSOR_END = 0x01, 0x07, 0x09, 0x0A, 0x0B
_START, _CURSOR, _PROTECT, _LINES, _PITCH = 0x0C, 0x0E, 0x11, 0x12, 0x13
_LINE_COMPARE = 0x10
"""The bit of the overflow register that is writable while the first registers are protected."""

_RETRACE = 9
"""Bits of input status 1: the display is disabled, and it is in vertical retrace."""


class Vga(Device):
    """A VGA. `screen` returns the displayed text."""

    STATE = (
        *("_crtc_index", "_crtc", "_sequencer_index", "_sequencer", "_graphics_index", "_graphics"),
        *("_attribute_index", "_attributes", "_attribute_data_next", "_miscellaneous", "_feature"),
        *("_palette", "_palette_mask", "_palette_at", "_palette_reads", "_status"),
    )
    WIRING = ("_ram",)

    def __init__(self, ram: Ram) -> None:
        super().__init__()
        self._ram = ram
        self.reset()

    def reset(self) -> None:
        """Enter mode 3 and clear the screen, as PC firmware does."""
        self._crtc, self._crtc_index = bytearray(_CRTC_MODE_3), 0
        self._sequencer, self._sequencer_index = bytearray(_SEQUENCER_MODE_3), 0
        self._graphics, self._graphics_index = bytearray(_GRAPHICS_MODE_3), 0
        self._attributes, self._attribute_index = bytearray(_ATTRIBUTES_MODE_3), _PALETTE_ON
        self._attribute_data_next = False
        self._miscellaneous, self._feature = _MISCELLANEOUS_MODE_3, 0
        self._palette, self._palette_mask = bytearray(_ega_colours()), 0xFF
        self._palette_at, self._palette_reads = 0, False
        self._status = 0
        self._ram.write(TEXT_MEMORY, b" \x07" * (TEXT_MEMORY_SIZE // 2), _WRITER)

    def read(self, offset: int, size: int) -> int:  # noqa: ARG002
        """Return a register."""
        if offset == CRTC_DATA:
            return _value(self._crtc, self._crtc_index)
        if offset == STATUS:
            self._attribute_data_next = False
            self._status ^= _RETRACE
            return self._status
        if offset == ATTRIBUTE_DATA:
            return _value(self._attributes, self._attribute_index & 0x1F)
        if offset == SEQUENCER_DATA:
            return _value(self._sequencer, self._sequencer_index)
        if offset == GRAPHICS_DATA:
            return _value(self._graphics, self._graphics_index)
        if offset == PALETTE_DATA:
            return self._next_of_palette(None)
        return {
            CRTC: self._crtc_index,
            ATTRIBUTE: self._attribute_index,
            SEQUENCER: self._sequencer_index,
            GRAPHICS: self._graphics_index,
            PALETTE_MASK: self._palette_mask,
            PALETTE_READ: 3 if self._palette_reads else 0,
            PALETTE_WRITE: self._palette_at // 3,
            FEATURE_READ: self._feature,
            MISCELLANEOUS_READ: self._miscellaneous,
        }.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Set a register."""
        if offset == CRTC:
            self._crtc_index = value & 0x1F
        elif offset == CRTC_DATA:
            self._write_crtc(self._crtc_index, value)
        elif offset == ATTRIBUTE:
            self._write_attribute(value)
        elif offset == SEQUENCER:
            self._sequencer_index = value & 7
        elif offset == SEQUENCER_DATA:
            _set(self._sequencer, self._sequencer_index, value, _SEQUENCER_MASKS)
        elif offset == GRAPHICS:
            self._graphics_index = value & 0xF
        elif offset == GRAPHICS_DATA:
            _set(self._graphics, self._graphics_index, value, _GRAPHICS_MASKS)
        elif offset == MISCELLANEOUS:
            self._miscellaneous = value
        elif offset == STATUS:
            self._feature = value
        elif offset == PALETTE_MASK:
            self._palette_mask = value
        elif offset in (PALETTE_READ, PALETTE_WRITE):
            self._palette_at, self._palette_reads = 3 * value, offset == PALETTE_READ
        elif offset == PALETTE_DATA:
            self._next_of_palette(value & 0x3F)

    def _write_crtc(self, index: int, value: int) -> None:
        """Set a register of the CRT controller. Bit 7 of register 0x11 protects the first eight, except one bit."""
        if index < 8 and self._crtc[_PROTECT] & 0x80:
            if index != _OVERFLOW:
                return
            value = self._crtc[_OVERFLOW] & ~_LINE_COMPARE | value & _LINE_COMPARE
        if index < len(self._crtc):
            self._crtc[index] = value

    def _write_attribute(self, value: int) -> None:
        """Write the index and the data alternately; a read of input status 1 resets to the index."""
        if self._attribute_data_next:
            _set(self._attributes, self._attribute_index & 0x1F, value, _ATTRIBUTE_MASKS)
        else:
            self._attribute_index = value & 0x3F
        self._attribute_data_next = not self._attribute_data_next

    def _next_of_palette(self, value: int | None) -> int:
        """Set the current palette component if a value is given, advance to the next, and return the old value."""
        at = self._palette_at
        was = self._palette[at]
        if value is not None:
            self._palette[at] = value
        self._palette_at = (at + 1) % len(self._palette)
        return was

    # The screen

    @property
    def in_text_mode(self) -> bool:
        """True unless software has selected a graphics mode."""
        return not self._graphics[6] & 1

    def screen(self) -> TextScreen | None:
        """Return the text on the screen; None in a graphics mode."""
        if not self.in_text_mode:
            return None
        crtc = self._crtc
        overflow = crtc[_OVERFLOW]
        columns, pitch = crtc[_COLUMNS] + 1, 2 * crtc[_PITCH]
        shown_lines = (crtc[_LINES] | (overflow & 2) << 7 | (overflow & 0x40) << 3) + 1
        rows = max(1, shown_lines // ((crtc[_LINES_PER_ROW] & 0x1F) + 1))
        start = int.from_bytes(crtc[_START : _START + 2], "big")
        base = _WINDOWS[self._graphics[6] >> 2 & 3]
        memory = self._ram.read(base, TEXT_MEMORY_SIZE) * 2
        places = [2 * (start + row * pitch) % TEXT_MEMORY_SIZE for row in range(rows)]
        cells = b"".join(memory[at : at + 2 * columns] for at in places)
        addresses = tuple(base + at for at in places)
        return TextScreen(columns, rows, cells, self._cursor(start, pitch, columns, rows), addresses)

    def _cursor(self, start: int, pitch: int, columns: int, rows: int) -> tuple[int, int] | None:
        crtc = self._crtc
        first, last = crtc[_CURSOR_START], crtc[_CURSOR_END]
        if first & 0x20 or (first & 0x1F) > (last & 0x1F):
            return None
        row, column = divmod(int.from_bytes(crtc[_CURSOR : _CURSOR + 2], "big") - start, pitch or columns)
        return (row, column) if 0 <= row < rows and column < columns else None


def _value(registers: bytearray, index: int) -> int:
    return registers[index] if index < len(registers) else 0


def _set(registers: bytearray, index: int, value: int, masks: bytes) -> None:
    if index < len(registers):
        registers[index] = value & masks[index]


def _ega_colours() -> bytes:
    """Return the palette of mode 3: 64 colours, each from two bits for red, green and blue; components have 6 bits."""
    colours = b"".join(
        bytes((0x2A if colour >> bit & 1 else 0) + (0x15 if colour >> bit + 3 & 1 else 0) for bit in (2, 1, 0))
        for colour in range(64)
    )
    return colours + bytes(3 * 192)
