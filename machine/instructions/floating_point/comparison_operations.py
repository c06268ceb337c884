"""Comparison on the register stack (SDM volume 2, FCOM, FUCOM, FCOMI, FTST, FXAM).

After an unmasked exception, condition code and flags are unchanged and nothing is popped.
"""

from machine.instructions.floating_point import comparison
from machine.instructions.floating_point.stack_operations import OnOperand, OnRegister, Widen
from machine.instructions.floating_point.state import X87State
from machine.instructions.floating_point.words import C0, C1, C2, C3, DE, IE, STACK_UNDERFLOW

_CF, _PF, _AF, _ZF, _SF, _OF = 1 << 0, 1 << 2, 1 << 4, 1 << 6, 1 << 7, 1 << 11


def _compare(x87: X87State, other: int, *, quiet: bool, pops: int, denormal: int = 0) -> None:
    control = x87.control
    relation, bits = comparison.compare(x87.get(0), other, control, quiet=quiet)
    if denormal and relation is not None and relation != comparison.UNORDERED:
        relation, bits = (relation, bits | DE) if control & DE else (None, DE)
    if relation is not None:
        x87.set_condition(relation, C0 | C2 | C3)
    x87.signal(bits)
    if relation is not None:
        for _ in range(pops):
            x87.pop()


def _unordered(x87: X87State, pops: int) -> None:
    """Signal the stack underflow of a comparison with an empty register."""
    x87.signal(STACK_UNDERFLOW)
    if x87.control & IE:
        x87.set_condition(comparison.UNORDERED, C0 | C2 | C3)
        for _ in range(pops):
            x87.pop()


def compare(*, quiet: bool = False, pops: int = 0) -> OnRegister:
    """Make the handler of FCOM, FUCOM or a form that pops: compare ST(0) with ST(i)."""

    def execute(x87: X87State, register: int) -> None:
        if x87.either_empty(register):
            _unordered(x87, pops)
            return
        _compare(x87, x87.get(register), quiet=quiet, pops=pops)

    return execute


def compare_operand(widen: Widen, *, pops: int = 0) -> OnOperand:
    """Make the handler of FCOM, FCOMP, FICOM or FICOMP with memory."""

    def execute(x87: X87State, datum: int) -> None:
        if x87.is_empty(0):
            _unordered(x87, pops)
            return
        operand, denormal = widen(datum)
        _compare(x87, operand, quiet=False, pops=pops, denormal=denormal)

    return execute


def compare_to_flags(*, quiet: bool, pops: int) -> OnRegister:
    """Make the handler of FCOMI, FUCOMI or a form that pops: set ZF, PF and CF, and clear OF, SF and AF."""

    def execute(x87: X87State, register: int) -> None:
        relation: int | None
        if x87.either_empty(register):
            relation, bits = (comparison.UNORDERED if x87.control & IE else None), STACK_UNDERFLOW
        else:
            relation, bits = comparison.compare(x87.get(0), x87.get(register), x87.control, quiet=quiet)
        x87.signal(bits)
        if relation is None:
            return
        flags = (_CF if relation & C0 else 0) | (_PF if relation & C2 else 0) | (_ZF if relation & C3 else 0)
        x87.flags = x87.flags & ~(_CF | _PF | _AF | _ZF | _SF | _OF) | flags
        for _ in range(pops):
            x87.pop()

    return execute


def test(x87: X87State, _register: int) -> None:
    """Execute FTST."""
    if x87.is_empty(0):
        _unordered(x87, 0)
    else:
        _compare(x87, 0, quiet=False, pops=0)


def examine(x87: X87State, _register: int) -> None:
    """Execute FXAM."""
    number = x87.get(0)
    code = comparison.examine(number)
    if x87.is_empty(0):
        code = comparison.EMPTY_CLASS | code & C1
    x87.set_condition(code, C0 | C1 | C2 | C3)
