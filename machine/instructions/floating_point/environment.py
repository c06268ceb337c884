"""The images of FNSTENV and FNSAVE, which FLDENV and FRSTOR load (SDM volume 1, 8.1.10)."""

import struct

from machine.instructions.floating_point.extended import NORMAL, ZERO_KIND, kind
from machine.instructions.floating_point.state import X87State
from machine.instructions.floating_point.words import EXCEPTIONS

_WIDE, _NARROW = struct.Struct("<6HIHHIHH"), struct.Struct("<7H")
_RESERVED = 0xFFFF
"""The upper halves of words in the 32-bit image, as written by processors."""
_EMPTY, _SPECIAL = 3, 2
_NUMBER_BYTES = 10


def size(*, wide: bool) -> int:
    """Return the length of an environment in bytes; `wide` is the 32-bit format."""
    return _WIDE.size if wide else _NARROW.size


def save_size(*, wide: bool) -> int:
    """Return the length of the image of FNSAVE in bytes; `wide` is the 32-bit format."""
    return size(wide=wide) + 8 * _NUMBER_BYTES


def _tag_word(x87: X87State) -> int:
    word, top = 0, x87.top
    for physical, empty in enumerate(x87.tags):
        of_kind = kind(x87.get(physical - top))
        tag = {NORMAL: 0, ZERO_KIND: 1}.get(of_kind, _SPECIAL)
        word |= (_EMPTY if empty else tag) << 2 * physical
    return word


def store(x87: X87State, *, wide: bool) -> bytes:
    """Return the environment, in the 32-bit or 16-bit protected-mode format."""
    fop, fcs, fds, fip, fdp = x87.pointers
    control, status, tags = x87.control, x87.status, _tag_word(x87)
    if not wide:
        return _NARROW.pack(control, status, tags, fip & 0xFFFF, fcs, fdp & 0xFFFF, fds)
    return _WIDE.pack(
        *(control, _RESERVED, status, _RESERVED, tags, _RESERVED),
        *(fip & 0xFFFF_FFFF, fcs, fop, fdp & 0xFFFF_FFFF, fds, _RESERVED),
    )


def load(x87: X87State, image: bytes, *, wide: bool) -> None:
    """Load an environment. Of each tag only "empty" or "not empty" counts."""
    if wide:
        control, _, status, _, tags, _, fip, fcs, fop, fdp, fds, _ = _WIDE.unpack_from(image)
    else:
        control, status, tags, fip, fcs, fdp, fds = _NARROW.unpack_from(image)
        fop = 0
    x87.tags = bytes(int(tags >> 2 * physical & 3 == _EMPTY) for physical in range(8))
    x87.pointers = (fop & 0x7FF, fcs, fds, fip, fdp)
    x87.set_control(control)
    x87.set_status(status)


def mask_all(x87: X87State) -> None:
    """Mask all exceptions, as FNSTENV does after storing."""
    x87.set_control(x87.control | EXCEPTIONS)


def save(x87: X87State, *, wide: bool) -> bytes:
    """Return the image of FNSAVE: the environment, and ST(0) to ST(7)."""
    numbers = x87.numbers
    return store(x87, wide=wide) + b"".join([numbers[at : at + _NUMBER_BYTES] for at in range(0, 128, 16)])


def restore(x87: X87State, image: bytes, *, wide: bool) -> None:
    """Load the image of FNSAVE, as FRSTOR does."""
    load(x87, image, wide=wide)
    tags = x87.tags
    for register in range(8):
        at = size(wide=wide) + register * _NUMBER_BYTES
        x87.set(register, int.from_bytes(image[at : at + _NUMBER_BYTES], "little"))
    x87.tags = tags
