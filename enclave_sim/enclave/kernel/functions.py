"""Signatures of a program's functions, from its DWARF debugging information (DWARF 4, 3.3 and 4.1)."""

import io
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple


class Signature(NamedTuple):
    """The parameters of a function, and whether it returns something."""

    parameters: tuple[str, ...]
    """The names, in order."""
    returns: bool
    """False for a function of type void."""


class Functions:
    """The functions of an image; none without debugging information."""

    def __init__(self, image: bytes) -> None:
        self._image = image

    def signature(self, name: str) -> Signature | None:
        """Return the signature of a function; None if it is unknown."""
        return self._signatures.get(name)

    @cached_property
    def _signatures(self) -> dict[str, Signature]:
        from elftools.elf.elffile import ELFFile  # noqa: PLC0415 - takes a third of the time to import an enclave

        found: dict[str, Signature] = {}
        with suppress(Exception):  # pyelftools raises anything for damaged information; what was read counts
            for unit in ELFFile(io.BytesIO(self._image)).get_dwarf_info().iter_CUs():
                for entry in unit.get_top_DIE().iter_children():
                    name = entry.attributes.get("DW_AT_name")
                    if entry.tag != "DW_TAG_subprogram" or name is None:
                        continue
                    names = [
                        one.attributes.get("DW_AT_name") for one in entry.iter_children() if _is_parameter(one.tag)
                    ]
                    parameters = tuple("" if one is None else _text(one.value) for one in names)
                    found[_text(name.value)] = Signature(parameters, "DW_AT_type" in entry.attributes)
        return found


def _is_parameter(tag: str) -> bool:
    return tag == "DW_TAG_formal_parameter"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
