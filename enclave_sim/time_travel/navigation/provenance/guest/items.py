"""The values that a guest makes, and what each was made from."""

from typing import NamedTuple

from enclave_sim.time_travel.navigation.provenance.answers import Role


class Piece(NamedTuple):
    """Bytes of an item, or of linear memory that the guest has not written."""

    item: int
    """The number of the item; -1 for memory."""
    first: int
    """The first byte of its value, or the address."""
    size: int


class Item(NamedTuple):
    """A value that an instruction made."""

    offset: int
    """The offset of the instruction in the module."""
    text: str
    """The instruction."""
    stay: int
    """The number of host calls that had been answered."""
    value: int
    size: int
    """In bytes."""
    sources: tuple[tuple[Role, Piece], ...]
    spread: bool
    """Each byte may depend on all bytes of the sources; False for a copy."""
    answer: int | None = None
    """Of the result of a host call its number, from 0."""
    data: int | None = None
    """Of bytes from a data segment the offset of the first one in the module."""
    address: int | None = None
    """Of bytes in linear memory the address of the first one."""
    filled: int = 1
    """The number of times that the bytes are there, one after the other."""
