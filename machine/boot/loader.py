"""Loading an image like a PC boot loader, by the Multiboot protocol of its header.

An image with headers of both versions is loaded by version 2. It starts in 32-bit protected mode with paging and
interrupts off, EAX = magic and EBX = address of the boot information. Modules, sections and boot information go to free
RAM. Sections without an address in memory (symbols, debug information) are loaded too, as in GRUB, and their headers
get the addresses: the specifications require that for a kernel's symbol table.
"""

from collections.abc import Sequence
from typing import NamedTuple

from machine.boot import elf, multiboot1, multiboot2
from machine.boot.elf import Executable
from machine.boot.placement import Placement, memory_map
from machine.boot.protocol import BootProtocol, Facts, PlacedModule, Request, flat
from machine.bus.writer import Writer
from machine.errors import MachineError
from machine.machine import Machine

_LOADER = Writer("loader", "the loader")

PROTOCOLS = (multiboot2.PROTOCOL, multiboot1.PROTOCOL)
SEARCHED_BYTES = max(protocol.searched for protocol in PROTOCOLS)
"""Bytes at the beginning of an image that are searched for a Multiboot header."""


class Module(NamedTuple):
    """A file to load into RAM with the image."""

    data: bytes
    command_line: str = ""


class Loaded(NamedTuple):
    """The result of loading an image."""

    protocol: str
    """`Multiboot 1` or `Multiboot 2`."""
    executable: Executable
    information: tuple[int, int]
    """Base address and length of the boot information, in bytes."""
    modules: tuple[tuple[int, int], ...]
    """Base address and length of each module, in bytes."""
    notes: tuple[str, ...]
    """Optional requests of the image that were not granted, as text."""


def load(
    machine: Machine,
    image: bytes,
    command_line: str = "",
    modules: Sequence[Module] = (),
    *,
    unallocated_sections: bool = True,
) -> Loaded:
    """Load the image, its modules and the boot information into RAM, and start the image.

    Args:
        machine: The machine; its processor is set to the entry point.
        image: An ELF executable, or a flat image whose Multiboot header gives addresses.
        command_line: The command line in the boot information.
        modules: The modules, in the order of the boot information.
        unallocated_sections: Load symbols and debug information too; otherwise the address in their headers stays 0.

    Returns:
        The addresses of everything loaded.

    Raises:
        MachineError: The image is not bootable or does not fit; RAM is unchanged.
    """
    screen = machine.display is not None
    protocol, request, executable = _read(image, screen=screen)
    ram = machine.ram
    placement = Placement(ram.size)
    for segment in executable.segments:
        placement.claim(segment.physical, segment.memory_size, "the image's segment")
    if not any(s.physical <= executable.entry < s.physical + s.memory_size for s in executable.segments):
        raise MachineError(f"the image's entry point {executable.entry:#x} is in none of its segments")
    writes = [(segment.physical, segment.data) for segment in executable.segments]
    sections = executable.sections
    if sections is not None and unallocated_sections:
        places = {s.number: placement.allocate(len(s.data), "sections", s.alignment) for s in sections.unallocated}
        writes += [(places[section.number], section.data) for section in sections.unallocated]
        sections = sections.placed(places)
    placed = []
    for module in modules:
        base = placement.allocate(len(module.data), "modules")
        placed.append(PlacedModule(base, len(module.data), _text(module.command_line)))
        writes.append((base, module.data))
    load_base = None if request.within is None else min(s.physical for s in executable.segments)
    facts = Facts(_text(command_line), placed, memory_map(ram.size), sections, load_base, screen)
    size = len(protocol.information(facts, 0))
    at = placement.allocate(size, "the boot information", lowest=protocol.lowest_information)
    writes.append((at, protocol.information(facts, at)))

    for segment in executable.segments:
        ram.zero(segment.physical, segment.memory_size, _LOADER)
    for base, data in writes:
        ram.write(base, data, _LOADER)
    machine.start(executable.entry, {"RAX": protocol.boot_magic, "RBX": at})
    spans = tuple((module.base, module.size) for module in placed)
    return Loaded(protocol.name, executable, (at, size), spans, request.notes)


def is_image(data: bytes) -> bool:
    """Return True for an image for this loader: a file with a Multiboot header, or an ELF file.

    Args:
        data: The file, or its first `SEARCHED_BYTES`.
    """
    return data[:4] == elf.MAGIC or any(protocol.find_header(data)[0] is not None for protocol in PROTOCOLS)


def _read(image: bytes, *, screen: bool) -> tuple[BootProtocol, Request, Executable]:
    """Return the protocol of the image, its request, and its segments. Raises MachineError if it is not bootable."""
    damaged: list[str] = []
    for protocol in PROTOCOLS:
        offset, wrong = protocol.find_header(image)
        if offset is None:
            damaged += [] if wrong is None else [f"the checksum of the {protocol.name} header at {wrong:#x} is wrong"]
            continue
        request = protocol.read_header(image, offset, screen)
        if request.addresses is not None and request.entry is not None:
            executable = flat(image, offset, request.addresses, request.entry)
        else:
            executable = elf.parse(image)
            if request.entry is not None:
                executable = executable._replace(entry=request.entry)
        _check_range(request, executable)
        return protocol, request, executable
    searched = " nor ".join(f"a {p.name} header in its first {p.searched >> 10} KiB" for p in PROTOCOLS)
    raise MachineError(*damaged[:1] or [f"the image has neither {searched}"])


def _check_range(request: Request, executable: Executable) -> None:
    """Raise MachineError if a relocatable image is linked outside its range: this loader does not relocate."""
    if request.within is None or not request.within.required:
        return
    lowest, highest, alignment, _ = request.within
    base = min(segment.physical for segment in executable.segments)
    end = max(segment.physical + segment.memory_size for segment in executable.segments)
    if base < lowest or end - 1 > highest or base % max(1, alignment):
        raise MachineError(
            f"the image is linked at {base:#x}-{end - 1:#x} but asks to be moved to {lowest:#x}-{highest:#x} "
            f"(alignment {alignment:#x}), which is not supported"
        )


def _text(text: str) -> bytes:
    """Return a C string. Non-UTF-8 bytes from the shell are unchanged. Raises MachineError for a NUL."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise MachineError(f"the command line {text!r} holds characters that have no encoding") from None
    if b"\0" in raw:
        raise MachineError(f"the command line {text!r} holds a NUL, which would end it")
    return raw + b"\0"
