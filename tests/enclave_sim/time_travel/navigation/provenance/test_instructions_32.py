"""Provenance of instructions that exist only in 32-bit code."""

import functools
import struct

import pytest

from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.time_travel import Travel
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, REGISTERS, Place
from tests.enclave_sim.time_travel.navigation.provenance.chains import chain
from tests.machine.boot import images

STACK = 0x20_3000
ORDER = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
NUMBERS = {"eax": 0xB8, "ecx": 0xB9, "edx": 0xBA, "ebx": 0xBB, "esp": 0xBC, "ebp": 0xBD, "esi": 0xBE, "edi": 0xBF}


@functools.cache
def run() -> Travel[BareKernel]:
    """PUSHAD and POPAD, with the values 1 to 8 in the order of pushing but in ESP."""
    loads = b"".join(
        bytes([NUMBERS[name]]) + struct.pack("<I", STACK if name == "esp" else number)
        for number, name in enumerate(ORDER, start=1)
    )
    code = loads + bytes.fromhex("60 61 b02a e6f4 f4")  # pushal; popal; mov $42, %al; out %al, $0xF4; hlt
    image = images.kernel1(code=code)
    made = Travel(lambda recorder: BareKernel("kernel", image, ram_bytes=16 << 20, recorder=recorder))
    made.step(len(ORDER))
    return made


@pytest.mark.parametrize("number", range(8))
def test_pushad_stores_each_register(number: int) -> None:
    travel = run()
    begin = travel.now
    travel.step()
    found = travel.where_from(Place(MEMORY, STACK - 4 * (number + 1), 4))
    name = ORDER[number]
    value, text = (STACK, hex(STACK)) if name == "esp" else (number + 1, str(number + 1))
    assert chain(found) == f"pushal[mov {name}, {text}[{value:#x}], @esp]"
    travel.go_to(begin)


@pytest.mark.parametrize("name", [name for name in ORDER if name != "esp"])
def test_popad_loads_each_register_from_its_word(name: str) -> None:
    travel = run()
    begin = travel.now
    travel.step(2)
    found = travel.where_from(REGISTERS[name], depth=1)
    (origin,) = found.origins
    assert origin.instruction == "popal"
    (data,) = (one.value.place for one in origin.sources if one.value is not None and one.value.place.in_memory)
    assert data == Place(MEMORY, STACK - 4 * (ORDER.index(name) + 1), 4)
    travel.go_to(begin)
