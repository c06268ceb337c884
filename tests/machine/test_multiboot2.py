"""The loader: what it hands over (Multiboot2 specification, 3.6), and what it refuses in one line."""

import struct
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firmware
from machine import elf, multiboot2
from machine.errors import MachineError
from machine.machine import Machine, MachineConfiguration


def machine(size: int = 16 << 20) -> Machine:
    return Machine(MachineConfiguration(size))


def tags(target: Machine, at: int) -> dict[int, list[bytes]]:
    total, _ = struct.unpack("<II", target.ram.read(at, 8))
    found: dict[int, list[bytes]] = {}
    offset = 8
    while offset < total:
        kind, size = struct.unpack("<II", target.ram.read(at + offset, 8))
        found.setdefault(kind, []).append(target.ram.read(at + offset + 8, size - 8))
        offset += (size + 7) & ~7
    return found


def test_boot_information_has_real_tags() -> None:
    target = machine()
    modules = [multiboot2.Module(b"first", "one"), multiboot2.Module(bytes(5000), "two words")]
    loaded = multiboot2.load(target, firmware.image(), "cycles=3", modules)
    found = tags(target, loaded.information[0])
    assert found[multiboot2.COMMAND_LINE] == [b"cycles=3\0"]
    assert [(*struct.unpack("<II", m[:8]), m[8:]) for m in found[multiboot2.MODULE]] == [
        (base, base + size, name) for (base, size), name in zip(loaded.modules, (b"one\0", b"two words\0"), strict=True)
    ]
    assert target.ram.read(*loaded.modules[0]) == b"first"
    (memory_map,) = found[multiboot2.MEMORY_MAP]
    regions = [struct.unpack_from("<QQI", memory_map, 8 + 24 * i) for i in range(3)]
    assert sum(length for _, length, kind in regions if kind == 1) == 0x9_FC00 + (15 << 20)
    assert struct.unpack("<III", found[multiboot2.ELF_SECTIONS][0][:12])[1] == 64
    assert list(found)[-1] == multiboot2.END


def test_nothing_overlaps_the_image() -> None:
    target = machine()
    loaded = multiboot2.load(target, firmware.image(), "", [multiboot2.Module(bytes(100_000))])
    taken = [(s.physical, s.memory_size) for s in loaded.executable.segments]
    taken += [*loaded.modules, loaded.information]
    spans = sorted(taken)
    assert all(a + n <= b for (a, n), (b, _) in pairwise(spans))
    assert all(base % 4096 == 0 for base, _ in loaded.modules)


def test_the_processor_starts_as_the_specification_says() -> None:
    target = machine()
    loaded = multiboot2.load(target, firmware.image())
    cpu = target.cpu
    assert cpu.read_register("EAX") == 0x36D7_6289
    assert cpu.read_register("EBX") == loaded.information[0]
    assert cpu.read_register("CR0") & 0x8000_0001 == 1
    assert not cpu.read_register("RFLAGS") & 0x200
    assert target.mode == "protected"


def change(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda image: image[:offset] + value + image[offset + len(value) :]


HEADER = 0x1000


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "no Multiboot2 header"),
        (lambda _: b"hello" * 1000, "no Multiboot2 header"),
        (change(0, b"MZ\0\0"), "not an ELF file"),
        (change(4, b"\1"), "not a 64-bit"),
        (change(18, b"\x28"), "ELF machine 40"),
        (change(HEADER, b"\0"), "no Multiboot2 header"),
        (change(HEADER + 12, b"\0\0\0\0"), "checksum"),
        (change(HEADER + 16, b"\x05\0"), "requires tag 5"),
        (change(HEADER + 24, b"\x0a"), "requires tag 1 \\[10\\]"),
        (change(HEADER + 20, b"\0\0\0\0"), "impossible size 0"),
        (lambda image: image[:0x2000], "cut short"),
        (change(24, b"\0\0\0\x7f"), "entry point 0x7f000000 is in none"),
    ],
)
def test_an_image_that_is_not_bootable_is_refused(damage: Callable[[bytes], bytes], message: str) -> None:
    target = machine()
    with pytest.raises(MachineError, match=message) as caught:
        multiboot2.load(target, damage(firmware.image()))
    assert "\n" not in str(caught.value)
    assert target.ram.is_zero(0, target.ram.size), "RAM was touched before the image was refused"


def test_an_image_that_does_not_fit_is_refused() -> None:
    with pytest.raises(MachineError, match="does not fit into 8 MiB"):
        multiboot2.load(machine(8 << 20), firmware.image())


def test_modules_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MachineError, match="no room"):
        multiboot2.load(machine(), firmware.image(), "", [multiboot2.Module(bytes(7 << 20))])


@given(st.integers(0, 0x1100), st.binary(min_size=1, max_size=16))
def test_no_damage_to_the_headers_gets_past_as_anything_but_a_machine_error(at: int, data: bytes) -> None:
    image = change(at, data)(firmware.image())
    try:
        multiboot2.check_header(image)
        elf.parse(image)
    except MachineError:
        pass
