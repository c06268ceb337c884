"""Values that devices, inputs and the processor itself wrote, on a bare machine in protected mode."""

import struct

import pytest

from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.time_travel import Travel
from enclave_sim.time_travel.navigation.provenance.answers import End, Role, Source, Value
from tests.enclave_sim.time_travel.navigation import writing_kernel as writers
from tests.enclave_sim.time_travel.navigation.provenance.chains import chain
from tests.machine.boot import images

SERIAL = bytes.fromhex("66bafd03 ec a801 74fb 66baf803 ec 88c3 66baf400 ee f4")
"""mov $0x3FD, %dx; in: wait for a byte; mov $0x3F8, %dx; in %dx, %al; mov %al, %bl; out %al, $0xF4; hlt."""


def travel() -> Travel[BareKernel]:
    image = writers.kernel()
    return Travel(lambda recorder: BareKernel("kernel", image, ram_bytes=8 << 20, recorder=recorder))


def at_the_end(run: Travel[BareKernel]) -> Travel[BareKernel]:
    run.resume()
    return run


def test_dma_of_fw_cfg_is_the_device_s() -> None:
    value = at_the_end(travel()).where_from(writers.DMA, 4)
    assert value.origins[0].by.startswith("fw_cfg, at ")
    assert [str(one) for one in value.endings] == ["device: fw_cfg"]


def test_the_accessed_flag_of_a_page_walk_is_the_processor_s() -> None:
    value = at_the_end(travel()).where_from(writers.DIRECTORY + 4, 1)
    (ending,) = value.endings
    assert ending.kind is End.PROCESSOR
    assert ending.text.startswith("a page walk")
    run = travel()
    assert value.origins[0].position is not None
    run.go_to(value.origins[0].position)
    assert run.machine.ram.read(writers.DIRECTORY + 4, 1) == value.content
    run.back()
    assert run.machine.ram.read(writers.DIRECTORY + 4, 1) != value.content


@pytest.mark.parametrize(
    ("word", "expected"), [(0, {"the return address"}), (4, {"cs", "constant: 0"}), (8, {"rflags"})]
)
def test_the_words_of_a_frame_in_protected_mode(word: int, expected: set[str]) -> None:
    value = at_the_end(travel()).where_from(writers.STACK - 12 + word, 4, depth=1)
    assert all(origin.by == "interrupt delivery of vector 0x1" for origin in value.origins)
    code = b"".join(writers.CODE)
    back = f"return address: {images.BASE + 12 + code.index(bytes.fromhex('cd01')) + 2:#x}"
    found = {source.value.place.space if source.value else str(source.ending) for source in _data(value)}
    assert found == {back if one == "the return address" else one for one in expected}


def _data(value: Value) -> list[Source]:
    return [source for origin in value.origins for source in origin.sources if source.role is Role.DATA]


def test_a_byte_of_the_serial_line_is_an_input() -> None:
    image = images.kernel1(code=SERIAL)
    typed = ((1000, b"\x15"),)
    run = Travel(lambda recorder: BareKernel("k", image, ram_bytes=8 << 20, typed=typed, recorder=recorder))
    run.resume()
    value = run.where_from("bl")
    assert value.content == b"\x15"
    assert chain(value) == "mov bl, al[in al, dx[input: port 0x3f8, @dx]]"


def test_values_of_the_loader_are_the_boot_image() -> None:
    run = travel()
    run.step(3)
    value = run.where_from(images.BASE, 4)
    assert [one.kind for one in value.endings] == [End.BOOT_IMAGE]
    assert struct.unpack("<I", value.content) == (0x1BADB002,)
    assert [str(one) for one in run.where_from("eax").endings] == ["power-on: rax as the loader left it"]
