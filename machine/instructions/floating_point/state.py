"""The registers of the x87 unit (SDM volume 1, 8.1), in Unicorn's layout.

`X87State` is a view of any writable buffer of `STATE_BYTES`: an engine's saved context, or a bytearray.
"""

import struct

from machine.instructions.floating_point.extended import INDEFINITE, SIGNIFICAND
from machine.instructions.floating_point.words import (
    BUSY,
    C1,
    CONTROL_AFTER_FNINIT,
    CONTROL_ONES,
    CONTROL_WRITABLE,
    ES,
    EXCEPTIONS,
    IE,
    STACK_OVERFLOW,
    STACK_UNDERFLOW,
    TOP,
    TOP_SHIFT,
)

_TAGS, _NUMBERS, _POINTERS = 8, 20, 148
_POINTER_FIELDS = struct.Struct("<3H2xQQ")
_NUMBERS_OF_IMAGE = struct.Struct("<16Q")
STATE_BYTES = _POINTERS + _POINTER_FIELDS.size
# Indices into `words`
_TOP, _STATUS, _CONTROL = 0, 2, 3
# Indices into `_selectors` and `_offsets`
_FOP, _FCS, _FDS = range(3)
_FIP, _FDP = range(2)


class X87State:
    """The unit's registers. Register numbers are relative to TOP, as in instructions, unless called physical."""

    __slots__ = ("_buffer", "_numbers", "_offsets", "_selectors", "_tags", "_words", "ax", "flags")

    def __init__(self, buffer: bytearray | memoryview | None = None) -> None:
        whole = memoryview(bytearray(STATE_BYTES) if buffer is None else buffer).cast("B")
        self._buffer = whole
        self._words = whole[:_TAGS].cast("H")
        self._tags = whole[_TAGS : _TAGS + 8]
        """One byte for each physical register: 1 if it is empty, else 0."""
        self._numbers = whole[_NUMBERS:_POINTERS].cast("Q")
        self._selectors = whole[_POINTERS : _POINTERS + 6].cast("H")
        self._offsets = whole[_POINTERS + 8 : STATE_BYTES].cast("Q")
        self.flags = 0
        """EFLAGS, which FCMOVcc reads and FCOMI writes; `FloatingPointUnit.execute` copies it in and out."""
        self.ax: int | None = None
        """The result of FNSTSW AX, until `FloatingPointUnit.execute` copies it; otherwise None."""
        if buffer is None:
            self.initialize()

    # Words

    @property
    def control(self) -> int:
        """The control word."""
        return self._words[_CONTROL]

    @property
    def status(self) -> int:
        """The status word with TOP."""
        return self._words[_STATUS] & ~TOP | self._words[_TOP] << TOP_SHIFT

    @property
    def top(self) -> int:
        """The physical number of ST(0)."""
        return self._words[_TOP]

    @top.setter
    def top(self, value: int) -> None:
        self._words[_TOP] = value & 7

    @property
    def is_pending(self) -> bool:
        """True if an unmasked exception is pending, for the next waiting instruction."""
        return bool(self._words[_STATUS] & ES)

    def set_control(self, control: int) -> None:
        """Load the control word, which may mask or unmask pending exceptions."""
        self._words[_CONTROL] = control & CONTROL_WRITABLE | CONTROL_ONES
        self.signal(0, self._words[_STATUS])

    def set_status(self, status: int) -> None:
        """Load the status word; ES and B are derived from its exceptions."""
        self._words[_TOP] = status >> TOP_SHIFT & 7
        self.signal(0, status & ~TOP)

    def signal(self, bits: int, status: int | None = None) -> None:
        """Set bits of the status word, and derive ES and B.

        Args:
            bits: Exception flags and condition code bits to set.
            status: The status word without TOP to start from; None is the current one with C1 cleared.
        """
        words = self._words
        if status is None:
            status = words[_STATUS] & ~C1
        status |= bits
        pending = status & EXCEPTIONS & ~words[_CONTROL]
        words[_STATUS] = status | ES | BUSY if pending else status & ~(ES | BUSY)

    def set_condition(self, code: int, mask: int) -> None:
        """Replace the bits `mask` of the condition code with those of `code`, and clear C1."""
        words = self._words
        words[_STATUS] = words[_STATUS] & ~(mask | C1) | code

    # Registers

    def is_empty(self, register: int) -> int:
        """Return 1 if a register is tagged empty, else 0."""
        return self._tags[self._words[_TOP] + register & 7]

    def either_empty(self, register: int) -> int:
        """Return 1 if ST(0) or `register` is tagged empty, else 0."""
        top, tags = self._words[_TOP], self._tags
        return tags[top] or tags[top + register & 7]

    def get(self, register: int) -> int:
        """Return the number in a register, whatever its tag."""
        at = (self._words[_TOP] + register & 7) << 1
        numbers = self._numbers
        return (numbers[at + 1] & 0xFFFF) << 64 | numbers[at]

    def set(self, register: int, number: int) -> None:
        """Write a register and tag it as nonempty."""
        physical = self._words[_TOP] + register & 7
        self._tags[physical] = 0
        numbers = self._numbers
        numbers[physical << 1] = number & SIGNIFICAND
        numbers[(physical << 1) + 1] = number >> 64

    @property
    def numbers(self) -> bytes:
        """ST(0) to ST(7), whatever their tags: 16 bytes each, the last six of which are zero."""
        words, at = self._numbers.tolist(), self._words[_TOP] << 1
        words[1::2] = [high & 0xFFFF for high in words[1::2]]
        return _NUMBERS_OF_IMAGE.pack(*words[at:], *words[:at])

    @numbers.setter
    def numbers(self, content: bytes) -> None:
        words, at = list(_NUMBERS_OF_IMAGE.unpack(content)), 16 - (self._words[_TOP] << 1)
        words[1::2] = [high & 0xFFFF for high in words[1::2]]
        _NUMBERS_OF_IMAGE.pack_into(self._buffer, _NUMBERS, *words[at:], *words[:at])

    def set_exponent(self, physical: int) -> None:
        """Set the sign and exponent of a register (physical number) to ones, as a write to its MMX register does."""
        self._numbers[(physical << 1) + 1] = 0xFFFF

    def free(self, register: int) -> None:
        """Tag a register as empty."""
        self._tags[self._words[_TOP] + register & 7] = 1

    def pop(self) -> None:
        """Tag ST(0) as empty and increment TOP."""
        words = self._words
        self._tags[words[_TOP]] = 1
        words[_TOP] = words[_TOP] + 1 & 7

    def push(self, number: int) -> None:
        """Decrement TOP and write ST(0)."""
        self._words[_TOP] = self._words[_TOP] - 1 & 7
        self.set(0, number)

    # Stack faults (volume 1, 8.5.1.1)

    def underflow(self, destination: int = 0) -> bool:
        """Signal a stack underflow; if it is masked, write the indefinite to `destination` and return True."""
        masked = bool(self.control & IE)
        if masked:
            self.set(destination, INDEFINITE)
        self.signal(STACK_UNDERFLOW)
        return masked

    def overflow(self) -> None:
        """Signal a stack overflow; if it is masked, push the indefinite."""
        if self.control & IE:
            self.push(INDEFINITE)
        self.signal(STACK_OVERFLOW)

    # The whole state

    def initialize(self) -> None:
        """Initialize like FNINIT: registers keep their numbers, but are tagged empty."""
        self._words[_TOP] = 0
        self._words[_STATUS] = 0
        self._words[_CONTROL] = CONTROL_AFTER_FNINIT
        self._tags[:] = b"\1" * 8
        self.pointers = (0, 0, 0, 0, 0)

    @property
    def tags(self) -> bytes:
        """One byte for each physical register: 1 if it is empty, else 0."""
        return bytes(self._tags)

    @tags.setter
    def tags(self, empty: bytes) -> None:
        self._tags[:] = empty

    @property
    def pointers(self) -> tuple[int, int, int, int, int]:
        """FOP, FCS, FDS, FIP, FDP: pointers to the last non-control instruction and its operand."""
        fields: tuple[int, int, int, int, int] = _POINTER_FIELDS.unpack_from(self._buffer, _POINTERS)
        return fields

    @pointers.setter
    def pointers(self, values: tuple[int, int, int, int, int]) -> None:
        _POINTER_FIELDS.pack_into(self._buffer, _POINTERS, *values)

    def note_instruction(self, fop: int, fcs: int, fip: int) -> None:
        """Set the pointer to the last instruction."""
        selectors = self._selectors
        selectors[_FOP], selectors[_FCS] = fop, fcs
        self._offsets[_FIP] = fip

    def note_operand(self, fds: int, fdp: int) -> None:
        """Set the pointer to the last memory operand."""
        self._selectors[_FDS] = fds
        self._offsets[_FDP] = fdp

    def save(self) -> bytes:
        """Return the whole state as bytes, for `load`."""
        return bytes(self._buffer)

    def load(self, content: bytes) -> None:
        """Restore the state that `save` returned."""
        self._buffer[:] = content
