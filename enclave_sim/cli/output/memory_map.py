"""The memory map of a page for the terminal: RAM as a strip to scale, and a table of the regions."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

import firmware
from enclave_sim.cli.output.drawing import Glyphs, headed_table
from enclave_sim.memory_map import Region, regions
from enclave_sim.recording.text import binary_size

_NARROW = 60
_LARGEST_GUARD = 0x10000
_LONGEST_STRIP = 64
_GROUP_COLOURS = {"arena": "blue", "staging": "yellow", "heap": "magenta"}
_KERNEL_COLOUR = "cyan"


def memory_map(glyphs: Glyphs, width: int) -> RenderableType:
    """Return the strip and the table for `width` columns; a narrow table leaves out what is measured."""
    table = headed_table("address", ">size", "rights", "ring", "region", "")
    end = 0
    for region in regions():
        if region.base > end:
            _add_gap(table, glyphs, end, region.base - end)
        table.add_row(
            f"0x{region.base:08x}",
            binary_size(region.size),
            region.rights,
            f"{region.ring}",
            Text(region.name, _colour(region)),
            Text("measured" if region.measured else "", "green"),
        )
        end = region.end
    table.add_row(*(Text(word, "dim") for word in (f"0x{end:08x}", "", "---", "", f"{glyphs.hole} guard: RAM ends")))
    table.columns[0].no_wrap, table.columns[0].min_width = True, 10
    if width < _NARROW:
        table.columns.pop()
    return Group(*_strip(glyphs, width), Text(), table)


def _add_gap(table: Table, glyphs: Glyphs, base: int, size: int) -> None:
    words = (f"0x{base:08x}", binary_size(size) if size else "", "---", "")
    kind = "guard" if size <= _LARGEST_GUARD else "not mapped"
    table.add_row(*(Text(word, "dim") for word in (*words, f"{glyphs.hole} {kind}")))


def _strip(glyphs: Glyphs, width: int) -> Iterator[Text]:
    """Yield all of RAM on one line, and its legend. Each cell shows the letter of the region that fills most of it."""
    ram = firmware.layout()["RAM_SIZE"]
    cells = _LONGEST_STRIP
    while cells > max(8, width - 6):
        cells //= 2
    strip = Text(no_wrap=True, overflow="crop")
    for cell in range(cells):
        base, end = ram // cells * cell, ram // cells * (cell + 1)
        held = {region: min(end, region.end) - max(base, region.base) for region in regions()}
        region, size = max(held.items(), key=lambda item: item[1])
        if size > 0:
            strip.append(region.name[0].upper() if _colour(region) != _KERNEL_COLOUR else "K", _colour(region))
        else:
            strip.append(glyphs.empty, "dim")
    yield strip
    yield Text(f"{binary_size(ram // cells)} each: Kernel and stacks, Arena, Staging, Heap", "dim")


def _colour(region: Region) -> str:
    return _GROUP_COLOURS.get(region.name, _KERNEL_COLOUR)
