"""Loads native code into this process, once for all engines, because it has no data of its own."""

import struct
from functools import cache
from importlib import resources

from machine.bus.host_memory import executable, native_architecture

ENTRY_POINTS = {
    "step_hook": (
        *("on_instruction", "on_interrupt", "on_invalid", "on_device_read"),
        *("on_block", "on_examined", "on_end", "enter", "deliver_known"),
    ),
    "translation_hook": ("on_translation",),
    "device_writes": ("on_device_write",),
}
"""Functions by the name of their source; a blob begins with their offsets."""


@cache
def load(source: str, *, package: str = __package__, count: int | None = None) -> tuple[int, ...] | None:
    """Return the addresses of a source's entry points.

    Args:
        source: The name of the source, without its suffix.
        package: The package with the blobs.
        count: The number of entry points; None for a source of this package.

    Returns:
        The addresses, in the order of the blob; None if the host runs no native code.
    """
    architecture = native_architecture()
    if architecture is None:
        return None
    blob = resources.files(package).joinpath(f"{source}.{architecture}.bin").read_bytes()
    header = struct.Struct(f"<{len(ENTRY_POINTS[source]) if count is None else count}I")
    try:
        base, page = executable(blob[header.size :])
    except OSError:
        return None
    _pages.append(page)
    return tuple(base + offset for offset in header.unpack_from(blob))


_pages: list[object] = []
"""The pages with the code, kept until the process ends."""
