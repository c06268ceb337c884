"""FNSTENV, FLDENV, FNSAVE, FRSTOR: formats of 32 and 16 bits (SDM volume 1, 8.1.10)."""

import struct

import pytest

from machine.instructions.floating_point import environment
from machine.instructions.floating_point.execution import execute
from machine.instructions.floating_point.extended import INDEFINITE, ONE
from machine.instructions.floating_point.state import X87State
from machine.instructions.floating_point.table import MEMORY_FORMS
from tests.machine.instructions.floating_point.samples import Bytes

FNSTENV, FLDENV, FNSAVE, FRSTOR = (MEMORY_FORMS[key] for key in ((0xD9, 6), (0xD9, 4), (0xDD, 6), (0xDD, 4)))
POINTERS = (0x5A5, 0x10, 0x18, 0x1_2345_6789, 0x2_89AB_CDEF)


def sample() -> X87State:
    x87 = X87State()
    for number in (ONE, 0, 1, INDEFINITE, 0x4000 << 64):
        x87.push(number)
    x87.set_control(0xB40)
    x87.set_status(x87.status | 0x4100)
    x87.pointers = POINTERS
    return x87


TAGS = 0b00_01_10_10_10_11_11_11
"""Valid, zero, denormal, NaN, unsupported in registers 7 to 3."""


def test_the_environment_of_32_bits() -> None:
    memory = Bytes(bytes(28))
    execute(sample(), FNSTENV, memory, wide=True)
    assert struct.unpack("<6HIHHIHH", memory.data) == (
        *(0xB40, 0xFFFF, 3 << 11 | 0x4100, 0xFFFF, TAGS, 0xFFFF),
        *(0x2345_6789, 0x10, 0x5A5, 0x89AB_CDEF, 0x18, 0xFFFF),
    )


def test_the_environment_of_16_bits() -> None:
    memory = Bytes(bytes(14))
    execute(sample(), FNSTENV, memory, wide=False)
    assert struct.unpack("<7H", memory.data) == (0xB40, 3 << 11 | 0x4100, TAGS, 0x6789, 0x10, 0xCDEF, 0x18)


def test_fnstenv_masks_all_exceptions_after_it_has_stored() -> None:
    x87 = X87State()
    x87.set_control(0x340)
    x87.set_status(1)
    assert x87.is_pending
    execute(x87, FNSTENV, Bytes(bytes(28)))
    assert x87.control == 0x37F
    assert x87.status == 1


@pytest.mark.parametrize("wide", [False, True])
def test_what_fnsave_stores_frstor_loads(wide: bool) -> None:
    x87 = sample()
    memory = Bytes(bytes(environment.save_size(wide=wide)))
    execute(x87, FNSAVE, memory, wide=wide)
    assert (x87.control, x87.status, x87.tags, x87.pointers) == (0x37F, 0, b"\1" * 8, (0, 0, 0, 0, 0))
    execute(x87, FRSTOR, memory, wide=wide)
    other = sample()
    fop, fcs, fds, fip, fdp = POINTERS
    low = 0xFFFF_FFFF if wide else 0xFFFF
    other.pointers = (fop if wide else 0, fcs, fds, fip & low, fdp & low)
    assert x87.save() == other.save()


def test_fldenv_takes_only_emptiness_from_a_tag() -> None:
    x87 = sample()
    image = struct.pack("<6H16x", 0x37F, 0, 0, 0, 0b11_10_01_00_11_10_01_00, 0)
    execute(x87, FLDENV, Bytes(image))
    assert x87.tags == bytes([0, 0, 0, 1, 0, 0, 0, 1])


def test_a_loaded_control_word_keeps_its_reserved_bits() -> None:
    x87 = X87State()
    x87.set_control(0xFFFF)
    assert x87.control == 0x1F7F
    x87.set_control(0)
    assert x87.control == 0x40


def test_es_follows_from_the_loaded_words() -> None:
    x87 = X87State()
    execute(x87, FLDENV, Bytes(struct.pack("<6H16x", 0x37E, 0, 1, 0, 0xFFFF, 0)))
    assert x87.status == 0x8081
    execute(x87, FLDENV, Bytes(struct.pack("<6H16x", 0x37F, 0, 0x8081, 0, 0xFFFF, 0)))
    assert x87.status == 1
