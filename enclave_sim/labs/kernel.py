"""Kernels in labs: sources of the starting point, and the image that a student has built of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from enclave_sim.enclave.kernel.firmware_file import firmware_of
from enclave_sim.files.reading import DOCUMENT, read_file
from enclave_sim.reasons import reason
from enclave_sim.recording.text import one_line
from firmware import Firmware, built_in
from machine.boot import elf

IMAGE = "aether.elf"
"""The image that is handed in."""
IMAGE_BYTES = 1 << 21
"""Limit of its size in bytes."""


def handed_in_kernel(files: Mapping[str, bytes]) -> tuple[Firmware | None, str]:
    """Return the kernel that was handed in, or None and the reason why there is none."""
    if IMAGE not in files:
        return None, f"{IMAGE} is missing."
    try:
        return firmware_of(files[IMAGE]), ""
    except ValueError as error:
        return None, f"{IMAGE} is not a kernel for this program: {one_line(reason(error))[:200]}."


def inspected_kernel(directory: Path, payloads: Sequence[str]) -> list[str]:
    """Return the arguments of `inspect` for payloads on the image in a directory, or on the built-in kernel."""
    image = directory / IMAGE
    return [*payloads, *(["--firmware", str(image)] if image.is_file() else []), "--attestation", "off"]


def source(name: str) -> str:
    """Return a source of the built-in kernel by its path beside the image, as "src/boot.S"."""
    return read_file(built_in().path.parent / name, DOCUMENT).decode()


def edited(text: str, edits: Mapping[str, str]) -> str:
    """Return a source with other texts.

    Args:
        text: The source.
        edits: The new text for each old one, which must occur exactly once.

    Returns:
        The changed source.

    Raises:
        ValueError: An old text does not occur exactly once.
    """
    for old, new in edits.items():
        if text.count(old) != 1:
            raise ValueError(f"the source holds {old!r} {text.count(old)} times; it must be there once")
        text = text.replace(old, new)
    return text


def offset_of(address: int) -> int:
    """Return the offset in the built-in image of an address in the kernel's code."""
    image = built_in().image
    segment = elf.parse(image).segments[0]
    return image.index(segment.data) + address - segment.physical
