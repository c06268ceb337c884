"""Multiboot 1: the boot information (0.6.96, 3.2 to 3.4), and header requests."""

import struct

import pytest

from machine.boot import loader
from machine.errors import MachineError
from machine.machine import Machine, MachineConfiguration, Outcome
from tests.machine.boot import images

MIB = 1 << 20


@pytest.fixture
def machine() -> Machine:
    return Machine(MachineConfiguration(16 * MIB))


def text(machine: Machine, at: int) -> bytes:
    return machine.ram.read(at, 64).split(b"\0")[0]


def boot(machine: Machine, image: bytes, *arguments: object) -> dict[str, int]:
    """Load an image. Return the fields of the boot information by their names in the specification."""
    loaded = loader.load(machine, image, *arguments)  # type: ignore[arg-type]
    assert loaded.protocol == "Multiboot 1"
    names = """flags mem_lower mem_upper boot_device cmdline mods_count mods_addr num size addr shndx mmap_length
    mmap_addr drives_length drives_addr config_table boot_loader_name apm_table""".split()
    return dict(zip(names, struct.unpack("<18I", machine.ram.read(loaded.information[0], 72)), strict=True))


def test_the_processor_starts_as_the_specification_says(machine: Machine) -> None:
    loaded = loader.load(machine, images.kernel1())
    cpu = machine.cpu
    assert cpu.read_register("EAX") == 0x2BADB002
    assert cpu.read_register("EBX") == loaded.information[0]
    assert cpu.read_register("CR0") & 0x8000_0001 == 1
    assert not cpu.read_register("RFLAGS") & 0x2_0200
    assert (machine.mode, cpu.rip) == ("protected", images.BASE + 12)


@pytest.mark.parametrize("bits", [32, 64])
def test_the_kernel_runs(machine: Machine, bits: int) -> None:
    loader.load(machine, images.kernel1(bits=bits))
    assert machine.run(1000) is Outcome.STOPPED
    assert machine.debug_exit.status == images.EXIT_STATUS


def test_an_elf32_file_for_x86_64_is_a_kernel_too(machine: Machine) -> None:
    header = images.header1()
    loader.load(machine, images.elf(header + images.CODE, machine=62, entry=images.BASE + len(header)))
    machine.run(1000)
    assert machine.debug_exit.status == images.EXIT_STATUS


def test_boot_information_tells_command_line_memory_and_loader(machine: Machine) -> None:
    told = boot(machine, images.kernel1(3), "root=/dev/ram quiet")
    assert told["flags"] == 0b10_0100_1101
    assert text(machine, told["cmdline"]) == b"root=/dev/ram quiet"
    assert text(machine, told["boot_loader_name"]) == b"python-machine multiboot"
    assert (told["mem_lower"], told["mem_upper"]) == (639, 15 * 1024)
    entries = machine.ram.read(told["mmap_addr"], told["mmap_length"])
    assert [struct.unpack_from("<IQQI", entries, at) for at in range(0, len(entries), 24)] == [
        (20, 0, 0x9FC00, 1),
        (20, 0x9FC00, 0x60400, 2),
        (20, MIB, 15 * MIB, 1),
    ]
    assert (told["mods_count"], told["drives_length"], told["config_table"], told["apm_table"]) == (0, 0, 0, 0)


def test_modules_are_on_page_boundaries_with_their_command_lines(machine: Machine) -> None:
    modules = [loader.Module(b"first", "one"), loader.Module(bytes(5000)), loader.Module(b"", "empty")]
    told = boot(machine, images.kernel1(1), "", modules)
    assert told["mods_count"] == 3
    listed = [struct.unpack("<4I", machine.ram.read(told["mods_addr"] + 16 * i, 16)) for i in range(3)]
    assert [end - start for start, end, _, _ in listed] == [5, 5000, 0]
    assert [text(machine, line) for _, _, line, _ in listed] == [b"one", b"", b"empty"]
    assert all(start % 4096 == 0 for start, _, _, _ in listed)
    assert machine.ram.read(listed[0][0], 5) == b"first"


def test_boot_information_lies_in_low_memory_where_kernels_do_not_grow(machine: Machine) -> None:
    loaded = loader.load(machine, images.kernel1(), "x" * 100)
    base, length = loaded.information
    assert 0x1_0000 <= base < base + length <= 0x9_FC00


def test_a_video_mode_is_not_granted_and_that_is_noted(machine: Machine) -> None:
    loaded = loader.load(machine, images.kernel1(4, 0, 0, 0, 0, 0, 0, 1024, 768, 32))
    assert len(loaded.notes) == 1
    assert "without a framebuffer" in loaded.notes[0]
    assert struct.unpack("<I", machine.ram.read(loaded.information[0], 4))[0] & (1 << 11 | 1 << 12) == 0
    machine.run(1000)
    assert machine.debug_exit.status == images.EXIT_STATUS


@pytest.mark.parametrize(("mode", "noted"), [(0, 1), (1, 0)])
def test_on_a_machine_with_a_text_screen_that_is_the_framebuffer(mode: int, noted: int) -> None:
    machine = Machine(MachineConfiguration(16 * MIB, display=True))
    loaded = loader.load(machine, images.kernel1(4, 0, 0, 0, 0, 0, mode, 80, 25, 0))
    assert len(loaded.notes) == noted
    information = machine.ram.read(*loaded.information)
    assert information[1] & 1 << 4
    assert struct.unpack_from("<Q3I2B", information, 88) == (0xB8000, 160, 80, 25, 16, 2)


@pytest.mark.parametrize("bit", range(3, 16))
def test_an_unknown_requirement_is_refused(machine: Machine, bit: int) -> None:
    with pytest.raises(MachineError, match=rf"requires features that are not supported \(flags {1 << bit:#x}\)"):
        loader.load(machine, images.kernel1(1 << bit))


@pytest.mark.parametrize("bit", [17, 24, 31])
def test_an_unknown_wish_is_not(machine: Machine, bit: int) -> None:
    assert loader.load(machine, images.kernel1(1 << bit)).notes == ()


# Flat images: the address fields


def flat(load_end: int = 0, bss_end: int = 0, *, lead: bytes = b"", entry: int | None = None) -> bytes:
    header_at = images.BASE + len(lead)
    start = header_at + 32 if entry is None else entry
    header = images.header1(1 << 16, header_at, images.BASE, load_end, bss_end, start)
    return lead + header + images.CODE


@pytest.mark.parametrize("lead", [b"", b"\x90" * 64])
def test_a_flat_image_goes_where_its_header_says(machine: Machine, lead: bytes) -> None:
    image = flat(lead=lead)
    loaded = loader.load(machine, image)
    assert machine.ram.read(images.BASE, len(image)) == image
    assert loaded.executable.segments[0].memory_size == len(image)
    machine.run(1000)
    assert machine.debug_exit.status == images.EXIT_STATUS


def test_a_file_may_hold_more_before_and_after_what_is_loaded(machine: Machine) -> None:
    header = images.header1(1 << 16, 0x20_0000, 0x20_0000, 0x20_0000 + 32 + len(images.CODE), 0x20_1000, 0x20_0020)
    machine.ram.write(0x20_0F00, b"old")
    loaded = loader.load(machine, bytes(128) + header + images.CODE + b"symbols")
    assert machine.ram.read(0x20_0020, len(images.CODE) + 7) == images.CODE + bytes(7)
    assert machine.ram.is_zero(0x20_0F00, 3), "the BSS was not cleared"
    assert loaded.executable.segments[0].memory_size == 0x1000


def test_the_address_fields_win_over_the_elf_headers(machine: Machine) -> None:
    header = images.header1(1 << 16, 0x30_0200, 0x30_0000, 0, 0, 0x30_0220)
    loader.load(machine, images.elf(header + images.CODE, segments=[(0, 0, 0x9000_0000, 4, 4)]))
    assert machine.cpu.rip == 0x30_0220
    assert machine.ram.read(0x30_0000, 4) == b"\x7fELF"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (images.header1(1 << 16, 0x10_0000), "cut short inside the Multiboot 1 header"),
        (images.header1(1 << 16, 0x10_0000, 0x10_1000, 0, 0, 0x10_0000), "load address 0x101000 does not fit"),
        (images.header1(1 << 16, 0x10_0010, 0x10_0000, 0, 0, 0x10_0000), "load address 0x100000 does not fit"),
        (flat(load_end=0x10_0000), "load end address 0x100000 is not above"),
        (flat(load_end=0x0F_0000), "load end address 0xf0000 is not above"),
        (flat(load_end=0x11_0000), "cut short: its header says 65536 bytes, and 39 are there"),
        (flat(bss_end=0x10_0008), "BSS end address 0x100008 is below"),
        (flat(bss_end=0x7000_0000), "does not fit into 16 MiB"),
        (flat(entry=0x40_0000), "entry point 0x400000 is in none"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_addresses_that_cannot_be_are_refused(machine: Machine, image: bytes, message: str) -> None:
    with pytest.raises(MachineError, match=message):
        loader.load(machine, image)
    assert machine.ram.is_zero(0, machine.ram.size)
