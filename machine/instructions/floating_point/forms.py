"""The rows of the table of x87 instructions."""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple


class Access(IntEnum):
    """The use of the memory operand."""

    NONE = 0
    LOADS = 1
    STORES = 2
    LOAD_CONTROL = 3
    STORE_CONTROL = 4
    STORE_STATUS = 5
    LOAD_ENVIRONMENT = 6
    STORE_ENVIRONMENT = 7
    RESTORE = 8
    SAVE = 9


WRITING = frozenset([Access.STORES, Access.STORE_CONTROL, Access.STORE_STATUS, Access.STORE_ENVIRONMENT, Access.SAVE])
"""The uses that write it."""


class Form(NamedTuple):
    """A row of the table."""

    access: Access
    handler: Callable[..., None]
    argument: int
    """The register number, or the size of the memory operand in bytes."""
    waits: bool
    """A waiting instruction: pending exceptions are raised before it."""
    is_control: bool
    """A control instruction: FIP, FDP and FOP do not change."""


def register_form(handler: Callable[..., None], number: int, *, waits: bool = True, is_control: bool = False) -> Form:
    """Return the row of an instruction without a memory operand."""
    return Form(Access.NONE, handler, number, waits, is_control)
