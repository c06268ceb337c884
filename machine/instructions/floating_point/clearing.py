"""FNINIT, FNCLEX and the loads of constants (SDM volume 2), with which kernels clear the x87 registers.

Many kernels execute no other x87 instruction. They are not in table.py, so that such a kernel runs without importing
the arithmetic.
"""

from collections.abc import Callable

from machine.instructions.floating_point.extended import ONE, ZERO
from machine.instructions.floating_point.forms import Form, register_form
from machine.instructions.floating_point.state import X87State

_CONSTANTS: dict[int, tuple[int, int, int, int]] = {
    0xE8: (ONE, ONE, ONE, ONE),
    # by rounding control: to nearest, down, up, truncated
    0xE9: tuple(0x4000_D49A_784B_CD1B_8AFE + up for up in (0, 0, 1, 0)),  # type: ignore[dict-item]
    0xEA: tuple(0x3FFF_B8AA_3B29_5C17_F0BB + up for up in (1, 0, 1, 0)),  # type: ignore[dict-item]
    0xEB: tuple(0x4000_C90F_DAA2_2168_C234 + up for up in (1, 0, 1, 0)),  # type: ignore[dict-item]
    0xEC: tuple(0x3FFD_9A20_9A84_FBCF_F798 + up for up in (1, 0, 1, 0)),  # type: ignore[dict-item]
    0xED: tuple(0x3FFE_B172_17F7_D1CF_79AB + up for up in (1, 0, 1, 0)),  # type: ignore[dict-item]
    0xEE: (ZERO, ZERO, ZERO, ZERO),
}


def _constant(choices: tuple[int, int, int, int]) -> Callable[[X87State, int], None]:
    """Make the handler that pushes a constant; `choices` has one for each rounding mode."""

    def execute(x87: X87State, _register: int) -> None:
        if not x87.is_empty(-1):
            x87.overflow()
            return
        x87.signal(0)
        x87.push(choices[x87.control >> 10 & 3])

    return execute


def _clear_exceptions(x87: X87State, _register: int) -> None:
    """Execute FNCLEX."""
    x87.set_status(x87.status & 0x7F00)


def _initialize(x87: X87State, _register: int) -> None:
    """Execute FNINIT."""
    x87.initialize()


CLEARING: dict[tuple[int, int], Form] = {
    (0xDB, 0xE2): register_form(_clear_exceptions, 0, waits=False, is_control=True),
    (0xDB, 0xE3): register_form(_initialize, 0, waits=False, is_control=True),
    **{(0xD9, modrm): register_form(_constant(choices), 0) for modrm, choices in _CONSTANTS.items()},
}
"""By opcode and ModRM byte."""
