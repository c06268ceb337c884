"""The reference pages of addresses: the memory map, and device registers as the firmware's header defines them."""

import re
from collections.abc import Iterator

import firmware
from enclave_sim.memory_map import regions
from tests.site.markdown import escaped, table
from tests.site.places import ROOT

_HEADER = ROOT / "firmware" / "src" / "devices.h"
_SECTION = re.compile(r"^/\* (.*?)\.? \*/$")
_DEFINITION = re.compile(r"^#define (\w+)\s+(.*?)(?:\s*/\* (.*) \*/)?$")


def memory_map() -> str:
    """Return the page of all regions."""
    rows = (
        (
            f"`{one.base:#010x}`",
            f"`{one.end - 1:#010x}`",
            f"{one.size >> 10} KiB",
            f"`{one.name}`",
            f"`{one.rights}`",
            str(one.ring),
            "measured" if one.measured else "",
        )
        for one in regions()
    )
    return "\n".join(
        [
            "# Regions of memory",
            "",
            "As `enclave_sim.memory_map.regions()` returns them. Memory between them is not mapped. "
            "[Memory map](../memory-map.md) explains each.",
            "",
            table(("First", "Last", "Size", "Region", "Rights", "Ring", ""), rows),
        ]
    )


def registers() -> str:
    """Return the page of device registers: the constants of devices.h, under the comments that begin its sections."""
    lines = [
        "# Device registers",
        "",
        "The constants of `firmware/src/devices.h`, with the values that `firmware.layout()` returns. Registers are "
        "offsets from the address of their device. [Memory map](../memory-map.md#device-registers) says what they do.",
        "",
    ]
    for title, rows in _sections():
        lines += [f"## {title}", "", table(("Name", "Value", "Meaning"), rows)]
    return "\n".join(lines)


def _sections() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    values = firmware.layout()
    title, rows = "", list[tuple[str, str, str]]()
    for line in _HEADER.read_text("utf-8").splitlines():
        if section := _SECTION.match(line):
            if rows:
                yield title, rows
            title, rows = section[1], []
        elif (found := _DEFINITION.match(line)) and found[1] in values:
            rows.append((f"`{found[1]}`", f"`{values[found[1]]:#x}`", escaped(found[3] or "")))
    yield title, rows
