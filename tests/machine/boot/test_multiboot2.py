"""Multiboot 2: the boot information (2.0, 3.3 to 3.6), and header requests."""

import struct
from itertools import pairwise

import pytest

import firmware
from machine.boot import loader, multiboot2
from machine.errors import MachineError
from machine.machine import Machine, MachineConfiguration
from tests.machine.boot import images
from tests.machine.boot.images import tag

MIB = 1 << 20


@pytest.fixture
def machine() -> Machine:
    return Machine(MachineConfiguration(16 * MIB))


@pytest.fixture
def with_screen() -> Machine:
    return Machine(MachineConfiguration(16 * MIB, display=True))


def told(machine: Machine, at: int) -> dict[int, list[bytes]]:
    """The tags of the boot information by their type, in order."""
    total, _ = struct.unpack("<II", machine.ram.read(at, 8))
    found: dict[int, list[bytes]] = {}
    offset = 8
    while offset < total:
        kind, size = struct.unpack("<II", machine.ram.read(at + offset, 8))
        found.setdefault(kind, []).append(machine.ram.read(at + offset + 8, size - 8))
        offset += (size + 7) & ~7
    assert offset == total
    return found


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def test_boot_information_has_real_tags(machine: Machine) -> None:
    modules = [loader.Module(b"first", "one"), loader.Module(bytes(5000), "two words")]
    loaded = loader.load(machine, firmware.built_in().image, "cycles=3", modules)
    found = told(machine, loaded.information[0])
    assert found[multiboot2.COMMAND_LINE] == [b"cycles=3\0"]
    assert found[multiboot2.BOOT_LOADER_NAME] == [b"python-machine multiboot\0"]
    assert [(*struct.unpack("<II", m[:8]), m[8:]) for m in found[multiboot2.MODULE]] == [
        (base, base + size, name) for (base, size), name in zip(loaded.modules, (b"one\0", b"two words\0"), strict=True)
    ]
    assert machine.ram.read(*loaded.modules[0]) == b"first"
    assert found[multiboot2.BASIC_MEMORY] == [words(639, 15 * 1024)]
    (memory_map,) = found[multiboot2.MEMORY_MAP]
    assert memory_map[:8] == words(24, 0)
    regions = [struct.unpack_from("<QQII", memory_map, 8 + 24 * i) for i in range(3)]
    assert regions == [(0, 0x9_FC00, 1, 0), (0x9_FC00, 0x6_0400, 2, 0), (MIB, 15 * MIB, 1, 0)]
    assert multiboot2.LOAD_BASE not in found
    assert list(found)[-1] == multiboot2.END


def test_nothing_overlaps_the_image(machine: Machine) -> None:
    loaded = loader.load(machine, firmware.built_in().image, "", [loader.Module(bytes(100_000))])
    taken = [(s.physical, s.memory_size) for s in loaded.executable.segments]
    taken += [*loaded.modules, loaded.information]
    assert all(a + n <= b for (a, n), (b, _) in pairwise(sorted(taken)))
    assert all(base % 4096 == 0 for base, _ in loaded.modules)


def test_the_processor_starts_as_the_specification_says(machine: Machine) -> None:
    loaded = loader.load(machine, firmware.built_in().image)
    cpu = machine.cpu
    assert loaded.protocol == "Multiboot 2"
    assert cpu.read_register("EAX") == 0x36D7_6289
    assert cpu.read_register("EBX") == loaded.information[0]
    assert loaded.information[0] % 8 == 0
    assert cpu.read_register("CR0") & 0x8000_0001 == 1
    assert not cpu.read_register("RFLAGS") & 0x2_0200
    assert machine.mode == "protected"


@pytest.mark.parametrize("bits", [32, 64])
def test_the_kernel_runs(machine: Machine, bits: int) -> None:
    loader.load(machine, images.kernel2(bits=bits))
    machine.run(1000)
    assert machine.debug_exit.status == images.EXIT_STATUS


# Header requests: tags 1 to 10


def note_of(machine: Machine, *tags: bytes) -> tuple[str, ...]:
    loaded = loader.load(machine, images.kernel2(*tags))
    assert machine.ram.read(loaded.executable.entry, len(images.CODE)) == images.CODE
    return loaded.notes


def refusal_of(machine: Machine, *tags: bytes) -> str:
    with pytest.raises(MachineError) as caught:
        loader.load(machine, images.kernel2(*tags))
    assert machine.ram.is_zero(0, machine.ram.size), "RAM was touched before the image was refused"
    return str(caught.value)


def test_information_that_is_there_may_be_requested(machine: Machine) -> None:
    assert note_of(machine, tag(1, words(1, 2, 3, 4, 6, 9))) == ()


@pytest.mark.parametrize("wanted", [5, 7, 8, 10, 11, 14, 15, 17, 99])
def test_information_that_is_not_there_may_not(machine: Machine, wanted: int) -> None:
    assert refusal_of(machine, tag(1, words(1, wanted))) == (
        f"the Multiboot 2 header requires boot information that is not there (tag {wanted})"
    )
    assert f"(tag {wanted})" in note_of(machine, tag(1, words(1, wanted), optional=True))[0]


@pytest.mark.parametrize("optional", [False, True])
def test_a_framebuffer_is_not_granted_and_that_is_noted(machine: Machine, optional: bool) -> None:
    notes = note_of(machine, tag(5, words(1024, 768, 32), optional=optional))
    assert len(notes) == 1
    assert "without a framebuffer" in notes[0]


def test_a_screen_that_is_required_is_refused(machine: Machine) -> None:
    assert "requires a screen; there is only a serial port" in refusal_of(machine, tag(4, words(3)))
    assert "would like a screen" in note_of(machine, tag(4, words(1), optional=True))[0]
    assert note_of(machine, tag(4, words(2))) == ()


def test_a_text_screen_is_the_console_of_an_image_that_supports_it(with_screen: Machine) -> None:
    assert note_of(with_screen, tag(4, words(3))) == ()
    with pytest.raises(MachineError, match="requires a screen; there is only a text screen, which it does not support"):
        loader.load(with_screen, images.kernel2(tag(4, words(1))))


def test_the_boot_information_has_the_framebuffer_of_a_text_screen(with_screen: Machine) -> None:
    loaded = loader.load(with_screen, images.kernel2(tag(1, words(8))))
    (found,) = told(with_screen, loaded.information[0])[multiboot2.FRAMEBUFFER]
    assert struct.unpack("<Q3I2BH", found) == (0xB8000, 160, 80, 25, 16, 2, 0)


@pytest.mark.parametrize(("kind", "content"), [(6, b""), (7, b""), (8, words(4711)), (9, words(4711))])
def test_module_alignment_and_efi_tags_change_nothing(machine: Machine, kind: int, content: bytes) -> None:
    assert note_of(machine, tag(kind, content)) == ()
    assert machine.cpu.rip == images.BASE + 16 + len(tag(kind, content)) + 8


@pytest.mark.parametrize("kind", [11, 99, 0x8000])
def test_an_unknown_tag_is_refused_unless_it_is_optional(machine: Machine, kind: int) -> None:
    assert f"requires tag {kind}, which is unknown" in refusal_of(machine, tag(kind, b"12345"))
    assert f"tag {kind}, which is unknown" in note_of(machine, tag(kind, b"12345", optional=True))[0]


@pytest.mark.parametrize(("kind", "size"), [(2, 12), (3, 0), (4, 3), (10, 12)])
def test_a_tag_that_is_too_short_is_refused(machine: Machine, kind: int, size: int) -> None:
    assert f"tag {kind} at 0x210 is too short" in refusal_of(machine, tag(kind, bytes(size)))


def test_a_relocatable_image_stays_where_it_was_linked_if_that_will_do(machine: Machine) -> None:
    loaded = loader.load(machine, images.kernel2(tag(10, words(0x10_0000, 0xFFFF_FFFF, 4096, 1))))
    assert told(machine, loaded.information[0])[multiboot2.LOAD_BASE] == [words(images.BASE)]


@pytest.mark.parametrize("wanted", [(0x20_0000, 0x40_0000, 1), (0, 0x10_0010, 1), (0, 0xFFFF_FFFF, 0x20_0000)])
def test_an_image_that_has_to_be_moved_is_refused(machine: Machine, wanted: tuple[int, int, int]) -> None:
    assert "asks to be moved" in refusal_of(machine, tag(10, words(*wanted, 0)))
    assert note_of(machine, tag(10, words(*wanted, 0), optional=True)) == ()


def test_an_entry_address_wins_over_the_elf_files(machine: Machine) -> None:
    assert len(tag(3, words(0))) == 16
    note_of(machine, tag(3, words(images.BASE + 16 + 16 + 8)))
    machine.run(1000)
    assert machine.debug_exit.status == images.EXIT_STATUS


# Flat images


def flat(load: int, load_end: int = 0, bss_end: int = 0, *, header: int = 0x20_0010) -> bytes:
    size = 16 + 24 + 16 + 8
    return images.header2(tag(2, words(header, load, load_end, bss_end)), tag(3, words(header + size))) + images.CODE


@pytest.mark.parametrize(("load", "lead"), [(0x20_0010, 0), (0x20_0000, 16), (0x20_0010, 64), (0xFFFF_FFFF, 16)])
def test_a_flat_image_goes_where_its_header_says(machine: Machine, load: int, lead: int) -> None:
    loader.load(machine, b"\x90" * lead + flat(load))
    machine.run(1000)
    assert machine.debug_exit.status == images.EXIT_STATUS
    assert machine.ram.read(0x20_0000, 1) == (b"\0" if load == 0x20_0010 else b"\x90")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (images.header2(tag(2, words(0x20_0000, 0x20_0000, 0, 0))), "without an entry address"),
        (flat(0x20_0020), "load address 0x200020 does not fit"),
        (flat(0x20_0000), "load address 0x200000 does not fit"),
        (bytes(8) + flat(0xFFFF_FFFF, header=0), "load address -0x8 does not fit"),
        (flat(0x20_0010, 0x30_0000), "cut short"),
        (flat(0x20_0010, 0, 0x20_0020), "BSS end address"),
        (flat(0x20_0010)[:40], "cut short inside the Multiboot 2 header"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_addresses_that_cannot_be_are_refused(machine: Machine, image: bytes, message: str) -> None:
    with pytest.raises(MachineError, match=message):
        loader.load(machine, image)
    assert machine.ram.is_zero(0, machine.ram.size)


# ELF sections


def symbols(bits: int, *, alignment: int = 64) -> bytes:
    """A kernel with a section in memory, one with contents but no address, one without contents."""
    header = images.header2()
    content = header + images.CODE
    content += bytes(-len(content) % 8) + b"symbols!"
    start = 0x200
    table = [
        images.section(0, 0, 0, 0, bits=bits),
        images.section(1, images.BASE, start, 8, bits=bits, flags=2),
        images.section(2, 0, start + len(content) - 8, 8, alignment, bits=bits),
        images.section(8, 0, 0, 4096, bits=bits),
    ]
    return images.elf(content, bits=bits, entry=images.BASE + len(header), sections=table)


@pytest.mark.parametrize(("bits", "size", "form"), [(32, 40, "<12x2I"), (64, 64, "<16x2Q")])
def test_sections_without_a_place_are_loaded_and_their_headers_tell_where(
    machine: Machine, bits: int, size: int, form: str
) -> None:
    loaded = loader.load(machine, symbols(bits))
    (tag_,) = told(machine, loaded.information[0])[multiboot2.ELF_SECTIONS]
    assert struct.unpack("<III", tag_[:12]) == (4, size, 0)
    addresses = [struct.unpack_from(form, tag_, 12 + size * number)[0] for number in range(4)]
    assert (addresses[:2], addresses[3]) == ([0, images.BASE], 0)
    assert addresses[2] % 64 == 0
    assert machine.ram.read(addresses[2], 8) == b"symbols!"


def test_sections_without_a_place_can_be_left_out(machine: Machine) -> None:
    loaded = loader.load(machine, symbols(64), unallocated_sections=False)
    (tag_,) = told(machine, loaded.information[0])[multiboot2.ELF_SECTIONS]
    assert struct.unpack_from("<16x2Q", tag_, 12 + 64 * 2)[0] == 0
    end = loaded.executable.segments[0].physical + loaded.executable.segments[0].memory_size
    assert b"symbols!" not in machine.ram.read(end, 8 * MIB)


def test_sections_that_do_not_fit_are_refused(machine: Machine) -> None:
    with pytest.raises(MachineError, match="no room in 16 MiB of RAM for sections"):
        loader.load(machine, symbols(64, alignment=1 << 40))
