"""Places of a function's variables, from its DWARF debugging information (DWARF 4, 2.6).

Optimised code keeps a variable in different places at different instructions; the location lists say where. Only the
forms that compilers use for plain variables are read. A variable in any other place is unknown there.
"""

import io
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

REGISTERS = ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", *(f"r{number}" for number in range(8, 16)))
"""The general registers by their numbers in DWARF (System V psABI for x86-64, figure 3.36)."""


class Location(NamedTuple):
    """The place of a variable: a register, memory at a register plus an offset, or a value that is not stored."""

    register: str | None
    offset: int = 0
    """Added to the register; the value itself if there is no register."""
    in_memory: bool = False


class _Range(NamedTuple):
    low: int
    high: int
    """The first address after it."""
    location: Location


@lru_cache(maxsize=2)  # reading takes a while
def variables_of(image: bytes, function: str) -> "Variables":
    """Return the variables of a function of an image."""
    return Variables(image, function)


class Variables:
    """The variables of one function of an image; none without debugging information.

    Args:
        image: An ELF file.
        function: The function's name.
    """

    def __init__(self, image: bytes, function: str) -> None:
        self._image = image
        self._function = function

    def location(self, name: str, address: int) -> Location | None:
        """Return where a variable is while an instruction is the next one; None if that is unknown.

        Args:
            name: The variable's name.
            address: The linear address of the instruction.

        Returns:
            The place.
        """
        ranges = self._ranges.get(name, ())
        return next((one.location for one in ranges if one.low <= address < one.high), None)

    @cached_property
    def _ranges(self) -> dict[str, list[_Range]]:
        from elftools.dwarf.dwarf_expr import DWARFExprParser  # noqa: PLC0415 - takes long to import
        from elftools.dwarf.locationlists import LocationParser  # noqa: PLC0415
        from elftools.elf.elffile import ELFFile  # noqa: PLC0415

        found: dict[str, list[_Range]] = {}
        with suppress(Exception):  # pyelftools raises anything for damaged information; what was read counts
            dwarf = ELFFile(io.BytesIO(self._image)).get_dwarf_info()
            locations = LocationParser(dwarf.location_lists())
            for unit in dwarf.iter_CUs():
                top = unit.get_top_DIE()
                base = top.attributes["DW_AT_low_pc"].value if "DW_AT_low_pc" in top.attributes else 0
                parser = DWARFExprParser(unit.structs)
                for entry in top.iter_children():
                    if entry.tag == "DW_TAG_subprogram" and _name(entry) == self._function:
                        for one in entry.iter_children():
                            where = one.attributes.get("DW_AT_location")
                            if where is not None and one.tag in ("DW_TAG_variable", "DW_TAG_formal_parameter"):
                                listed = locations.parse_from_attribute(where, unit["version"], one)
                                found[_name(one)] = list(_read(listed, base, parser))
        return found


def _read(listed: Any, base: int, parser: Any) -> Any:
    if not isinstance(listed, list):
        location = _location(parser.parse_expr(listed.loc_expr))
        if location is not None:
            yield _Range(0, 1 << 64, location)
        return
    for one in listed:
        if hasattr(one, "base_address"):
            base = one.base_address
        elif (location := _location(parser.parse_expr(one.loc_expr))) is not None:
            yield _Range(base + one.begin_offset, base + one.end_offset, location)


def _location(operations: list[Any]) -> Location | None:
    names = [one.op_name for one in operations]
    first = names[0] if names else ""
    if first.startswith("DW_OP_reg") and len(names) == 1:
        return Location(REGISTERS[int(first[9:])])
    if first.startswith("DW_OP_breg") and names[1:] in ([], ["DW_OP_stack_value"]):
        return Location(REGISTERS[int(first[10:])], operations[0].args[0], in_memory=len(names) == 1)
    if first.startswith("DW_OP_lit") and names[1:] == ["DW_OP_stack_value"]:
        return Location(None, int(first[9:]))
    return None


def _name(entry: Any) -> str:
    name = entry.attributes.get("DW_AT_name")
    return "" if name is None else str(name.value.decode("utf-8", "replace"))
