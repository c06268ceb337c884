"""The loader: which images boot, one-line refusals, and no partial loading."""

import re
import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import firmware
from machine.boot import elf, loader
from machine.errors import MachineError
from machine.machine import Machine, MachineConfiguration
from tests.machine.boot import images

MIB = 1 << 20
Damage = Callable[[bytes], bytes]


def machine(size: int = 16 * MIB) -> Machine:
    return Machine(MachineConfiguration(size))


def refusal_of(image: bytes, *arguments: object, ram: int = 16 * MIB) -> str:
    """The error for an unbootable image; RAM must be unchanged."""
    target = machine(ram)
    with pytest.raises(MachineError) as caught:
        loader.load(target, image, *arguments)  # type: ignore[arg-type]
    assert target.ram.is_zero(0, target.ram.size), "RAM was touched before the image was refused"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change(offset: int, value: bytes) -> Damage:
    return lambda image: image[:offset] + value + image[offset + len(value) :]


# Which protocol


def test_multiboot_2_is_taken_where_an_image_has_both_headers() -> None:
    both = images.header1() + bytes(4) + images.header2() + images.CODE
    image = images.elf(both, entry=images.BASE + len(both) - len(images.CODE))
    assert loader.load(machine(), image).protocol == "Multiboot 2"
    without = image.replace(struct.pack("<I", 0xE85250D6), bytes(4))
    assert loader.load(machine(), without).protocol == "Multiboot 1"


def test_a_magic_number_alone_is_not_a_header() -> None:
    decoys = struct.pack("<4I", 0xE85250D6, 0, 0, 0) + struct.pack("<4I", 0x1BADB002, 1, 2, 3)
    image = images.elf(decoys + images.header1() + images.CODE, entry=images.BASE + 32 + 12)
    assert loader.load(machine(), image).protocol == "Multiboot 1"


@pytest.mark.parametrize(
    ("header", "reach", "step"), [(images.header1(), 8192, 4), (images.header2(), 32768, 8)], ids=["1", "2"]
)
def test_a_header_is_found_within_its_reach_at_its_alignment_only(header: bytes, reach: int, step: int) -> None:
    def image(at: int) -> bytes:
        content = bytes(at - 0x200) + header + images.CODE
        return images.elf(content, entry=images.BASE + len(content) - len(images.CODE))

    words = 12 if step == 4 else 16
    loader.load(machine(), image(reach - (words if step == 4 else 24)))
    assert "has neither" in refusal_of(image(reach - words + step))
    assert "has neither" in refusal_of(image(0x400 + step // 2))


# Placement


def test_a_higher_half_kernel_is_entered_where_it_is_physically() -> None:
    header = images.header1()
    content = header + images.CODE
    virtual = 0xC010_0000
    segments = [(0, virtual, images.BASE, len(content), 0x8000)]
    target = machine()
    loader.load(target, images.elf(content, entry=virtual + len(header), segments=segments))
    assert target.cpu.rip == images.BASE + len(header)
    loader.load(machine(), images.elf(content, entry=images.BASE + len(header), segments=segments))


def test_memory_after_a_segments_bytes_is_zero() -> None:
    content = images.header1() + images.CODE
    target = machine()
    target.ram.write(images.BASE, b"\xff" * 0x5000)
    image = images.elf(content, entry=images.BASE + 12, segments=[(0, images.BASE, images.BASE, len(content), 0x4000)])
    loader.load(target, image)
    assert target.ram.read(images.BASE, 0x4000) == content + bytes(0x4000 - len(content))
    assert target.ram.read(images.BASE + 0x4000, 0x1000) == b"\xff" * 0x1000


def test_a_segment_may_lie_in_low_memory() -> None:
    content = images.header1() + images.CODE
    target = machine()
    image = images.elf(content, entry=0x7C0C, segments=[(0, 0x7C00, 0x7C00, len(content), 0x9_0000 - 0x7C00)])
    loaded = loader.load(target, image)
    assert loaded.information[0] >= 0x9_0000
    target.run(1000)
    assert target.debug_exit.status == images.EXIT_STATUS


def test_a_module_that_fills_ram_to_the_last_byte_fits() -> None:
    content = images.header1() + images.CODE
    kernel = images.elf(content, entry=0x800C, segments=[(0, 0x8000, 0x8000, len(content), len(content))])
    target = machine(4 * MIB)
    loaded = loader.load(target, kernel, "", [loader.Module(b"\xaa" * (3 * MIB))])
    assert loaded.modules == ((MIB, 3 * MIB),)
    assert "no room in 4 MiB of RAM for modules (3145729 bytes)" in refusal_of(
        kernel, "", [loader.Module(b"\xaa" * (3 * MIB + 1))], ram=4 * MIB
    )


# Refusals


HEADER = 0x1000


@pytest.mark.parametrize(("bits", "length"), [*((32, n) for n in range(52)), *((64, n) for n in range(64))])
def test_an_elf_header_that_is_cut_short_is_said_to_be_so(bits: int, length: int) -> None:
    message = "not an ELF file" if length < 4 else "not a little-endian" if length < 6 else "headers are cut short"
    with pytest.raises(MachineError, match=message):
        elf.parse(images.elf(images.CODE, bits=bits)[:length])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "neither a Multiboot 2 header in its first 32 KiB nor a Multiboot 1 header in its first 8 KiB"),
        (lambda _: b"hello" * 1000, "has neither"),
        (change(0, b"MZ\0\0"), "not an ELF file"),
        (change(4, b"\3"), "not a little-endian ELF file of 32 or 64 bits"),
        (change(5, b"\2"), "not a little-endian ELF file of 32 or 64 bits"),
        (change(18, b"\x28"), "ELF machine 40"),
        (change(18, b"\x03"), "ELF machine 3,"),
        (change(16, b"\x01"), "an object file that has yet to be linked"),
        (change(16, b"\x04"), "a core dump"),
        (change(HEADER, b"\0"), "has neither"),
        (change(HEADER + 12, b"\0\0\0\0"), "the checksum of the Multiboot 2 header at 0x1000 is wrong"),
        (change(HEADER + 4, b"\4\0\0\0"), "the checksum of the Multiboot 2 header at 0x1000 is wrong"),
        (change(HEADER + 16, b"\x63\0"), "requires tag 99, which is unknown"),
        (change(HEADER + 24, b"\x0a"), r"requires boot information that is not there \(tag 10\)"),
        (change(HEADER + 20, b"\0\0\0\0"), "impossible size 0"),
        (lambda image: image[:0x2000], "cut short"),
        (change(24, b"\0\0\0\x7f"), "entry point 0x7f000000 is in none"),
        (change(32, b"\xff" * 8), "cut short: its ELF headers at 0xffffffffffffffff lie outside it"),
        (change(40, b"\xff" * 8), "cut short: its ELF headers at 0xffffffffffffffff lie outside it"),
        (change(54, b"\x08\0"), "have 8 bytes each instead of 56"),
        (change(56, b"\0\0"), "no loadable segment"),
        (change(64 + 24, b"\xff" * 8), "does not fit into 16 MiB"),
    ],
)
def test_an_image_that_is_not_bootable_is_refused(damage: Damage, message: str) -> None:
    assert re.search(message, refusal_of(damage(firmware.built_in().image)))


def test_a_header_for_another_processor_is_refused() -> None:
    header = images.header2(architecture=4)
    assert "architecture 4; only 0 (i386)" in refusal_of(images.elf(header + images.CODE))


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([(0, 0x10_0000, 0x10_0000, 64, 32)], "segment 0 of the image has more bytes in the file than in memory"),
        ([(0, 0x10_0000, 0x10_0000, 1 << 20, 1 << 20)], "cut short inside segment 0"),
        ([(0, 0x10_0000, 0xFF_FFF0, 64, 64)], r"segment 0xfffff0\+0x40 does not fit into 16 MiB"),
        ([(0, 0x10_0000, 0xFFFF_FFF0, 64, 64)], "does not fit into 16 MiB"),
        ([(0, 0xA_0000, 0xA_0000, 64, 64)], "lies in what a PC keeps for itself"),
        ([(0, 0x9_FBFF, 0x9_FBFF, 2, 2)], "lies in what a PC keeps for itself"),
        ([(0, 0xF_FFFF, 0xF_FFFF, 64, 64)], "lies in what a PC keeps for itself"),
        ([(0, 0x10_0000, 0x10_0000, 64, 64), (0, 0, 0x10_003F, 8, 8)], r"segment 0x10003f\+0x8 overlaps another"),
        ([(0, 0x10_0000, 0x10_0010, 64, 64), (0, 0, 0x10_0000, 0, 0x4000)], "overlaps another"),
        ([(0, 0x10_0000, 0x10_0000, 0, 0)], "no loadable segment"),
    ],
)
def test_segments_that_cannot_be_are_refused(segments: list[tuple[int, int, int, int, int]], message: str) -> None:
    content = (images.header1() + images.CODE).ljust(128, b"\0")
    assert re.search(message, refusal_of(images.elf(content, segments=segments)))


def test_an_image_that_does_not_fit_is_refused() -> None:
    assert "does not fit into 8 MiB" in refusal_of(firmware.built_in().image, ram=8 * MIB)


def test_less_ram_than_a_pc_has_is_refused() -> None:
    assert "it takes more than 1 MiB" in refusal_of(images.kernel1(), ram=MIB)
    loader.load(machine(MIB + 4096), images.kernel1())


def test_modules_that_do_not_fit_are_refused() -> None:
    modules = [loader.Module(bytes(7 * MIB))]
    assert "no room in 16 MiB of RAM for modules (7340032 bytes)" in refusal_of(firmware.built_in().image, "", modules)


@pytest.mark.parametrize(("line", "words"), [("a\0b", "holds a NUL"), ("\ud800", "have no encoding")])
def test_a_command_line_that_is_not_a_c_string_is_refused(line: str, words: str) -> None:
    assert words in refusal_of(images.kernel1(), line)
    assert words in refusal_of(images.kernel1(), "", [loader.Module(b"", line)])


def test_a_command_line_in_another_encoding_goes_through_as_it_was() -> None:
    target = machine()
    loaded = loader.load(target, images.kernel1(), b"caf\xe9".decode("utf-8", "surrogateescape"))
    assert b"caf\xe9\0" in target.ram.read(*loaded.information)


# Arbitrary damage


SAMPLES = [
    images.kernel1(3),
    images.kernel1(4, *range(9), bits=64),
    images.kernel1(1 << 16, 0x10_0200, 0x10_0000, 0, 0x10_1000, 0x10_0220),
    images.kernel2(images.tag(1, struct.pack("<2I", 1, 9)), images.tag(5, bytes(12))),
    images.kernel2(images.tag(10, struct.pack("<4I", 0, 1 << 30, 16, 0)), bits=32),
    images.header2(images.tag(2, struct.pack("<4I", MIB, MIB, 0, 0)), images.tag(3, struct.pack("<I", MIB + 64)))
    + images.CODE,
]


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 0x280), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4),
    st.integers(0, 0x300),
)
@example(SAMPLES[0], [(0x40, b"\xff" * 8)], 0x300)
def test_no_damage_gets_past_as_anything_but_a_machine_error(
    image: bytes, damage: list[tuple[int, bytes]], cut: int
) -> None:
    for offset, value in damage:
        image = change(offset, value)(image)
    attempt(image[:cut] if cut < 0x280 else image)


@given(st.binary(max_size=256), st.sampled_from([images.header1(), images.header2(), images.header1(1 << 16), b""]))
def test_no_bytes_at_all_get_past_as_anything_but_a_machine_error(data: bytes, header: bytes) -> None:
    attempt(header + data)
    attempt(data + bytes(-len(data) % 8) + header)


WORD = st.integers(0, 2**32 - 1) | st.integers(0xF_0000, 0x20_1000)


@given(st.sampled_from([0, 4, 1 << 16, 0x1_0007]) | WORD, st.lists(WORD, max_size=9), st.booleans())
def test_no_multiboot_1_header_gets_past_as_anything_but_a_machine_error(
    flags: int, words: list[int], in_elf: bool
) -> None:
    content = images.header1(flags, *words) + images.CODE
    attempt(images.elf(content) if in_elf else content)


@given(st.lists(st.tuples(st.integers(0, 12), st.lists(WORD, max_size=5), st.booleans()), max_size=4), st.booleans())
def test_no_multiboot_2_header_gets_past_as_anything_but_a_machine_error(
    tags: list[tuple[int, list[int], bool]], in_elf: bool
) -> None:
    made = [
        images.tag(kind, struct.pack(f"<{len(words)}I", *words), optional=optional) for kind, words, optional in tags
    ]
    content = images.header2(*made) + images.CODE
    attempt(images.elf(content) if in_elf else content)


def attempt(image: bytes) -> None:
    target = machine(2 * MIB)
    refused = ""
    try:
        loader.load(target, image)
    except MachineError as error:
        refused = str(error)
    assert not refused or target.ram.is_zero(0, target.ram.size), "RAM was touched before the image was refused"
    assert "\n" not in refused
