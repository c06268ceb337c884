"""FXTRACT, FPTAN and FSINCOS, which have two results, and control of the stack and the unit (SDM volume 2)."""

from machine.instructions.floating_point import scaling, transcendental
from machine.instructions.floating_point.extended import INDEFINITE, ONE, QNAN, kind
from machine.instructions.floating_point.state import X87State
from machine.instructions.floating_point.words import C1, C2, IE, STACK_OVERFLOW


def _can_push(x87: X87State) -> bool:
    """Return True if ST(0) can be replaced and a number pushed; otherwise signal the stack fault."""
    if x87.is_empty(0):
        if x87.underflow():
            x87.push(INDEFINITE)
        return False
    if not x87.is_empty(-1):
        if x87.control & IE:
            x87.set(0, INDEFINITE)
            x87.push(INDEFINITE)
        x87.signal(STACK_OVERFLOW)
        return False
    return True


def extract(x87: X87State, _register: int) -> None:
    """Execute FXTRACT."""
    if not _can_push(x87):
        return
    exponent, significand, bits = scaling.extract(x87.get(0), x87.control)
    x87.signal(bits)
    if exponent is not None:
        x87.set(0, exponent)
        x87.push(significand)


def tangent(x87: X87State, _register: int) -> None:
    """Execute FPTAN: replace ST(0) with the tangent and push 1; for a NaN push the NaN again."""
    x87.set_condition(0, C2)
    if not _can_push(x87):
        return
    value, bits = transcendental.tangent(x87.get(0), x87.control)
    _replace_and_push(x87, value, ONE if value is None or kind(value) < QNAN else value, bits)


def sine_and_cosine(x87: X87State, _register: int) -> None:
    """Execute FSINCOS: replace ST(0) with the sine and push the cosine, which determines C1."""
    x87.set_condition(0, C2)
    if not _can_push(x87):
        return
    number, control = x87.get(0), x87.control
    first, bits = transcendental.sine(number, control)
    second, also = transcendental.cosine(number, control)
    _replace_and_push(x87, first, second, bits & ~C1 | also)


def _replace_and_push(x87: X87State, first: int | None, second: int | None, bits: int) -> None:
    """Finish FPTAN or FSINCOS. An operand out of range is kept, C2 is set, and nothing is pushed."""
    x87.signal(bits)
    if not bits & C2 and first is not None and second is not None:
        x87.set(0, first)
        x87.push(second)


def free(x87: X87State, register: int) -> None:
    """Execute FFREE."""
    x87.free(register)
    x87.signal(0)


def free_and_pop(x87: X87State, register: int) -> None:
    """Execute FFREEP, which every processor has but the manual does not list."""
    x87.free(register)
    x87.signal(0)
    x87.pop()


def increment_top(x87: X87State, _register: int) -> None:
    """Execute FINCSTP."""
    x87.top += 1
    x87.signal(0)


def decrement_top(x87: X87State, _register: int) -> None:
    """Execute FDECSTP."""
    x87.top -= 1
    x87.signal(0)


def store_status(x87: X87State, _register: int) -> None:
    """Execute FNSTSW AX."""
    x87.ax = x87.status


def no_operation(_x87: X87State, _register: int) -> None:
    """Execute FNOP, or an instruction that had an effect only on an 8087 or 80287."""
