"""DPPS and DPPD (SDM volume 2): products of the lanes selected by the immediate, added in pairs."""

from collections.abc import Sequence

from machine.instructions.simd.numbers import Format, Result, add, flags_set, multiply


def dot_product(left: Sequence[int], right: Sequence[int], form: Format, immediate: int, mxcsr: int) -> Result:
    """Add the products in pairs: (p0 + p1) + (p2 + p3).

    Every step rounds. The additions are skipped if a multiplication raises an unmasked exception.

    Args:
        left: The lanes of the first operand, two or four.
        right: The lanes of the second operand.
        form: The format of the numbers.
        immediate: Bits 7:4 select the products, the others are +0; bits 3:0 the lanes that get the sum.
        mxcsr: MXCSR.

    Returns:
        The destination, and the flags raised.
    """
    lanes = enumerate(zip(left, right, strict=True))
    found = [multiply(a, b, form, mxcsr) if immediate >> 4 + lane & 1 else (0, 0) for lane, (a, b) in lanes]
    flags = _raised(found, mxcsr)
    while len(found) > 1 and not flags & ~(mxcsr >> 7):
        pairs = zip(found[::2], found[1::2], strict=True)
        found = [add(a, b, form, mxcsr) for (a, _), (b, _) in pairs]
        flags |= _raised(found, mxcsr)
    total, _ = found[0]
    return sum(total << form.width * lane for lane in range(len(left)) if immediate >> lane & 1), flags


def _raised(results: list[Result], mxcsr: int) -> int:
    flags = 0
    for _, raised in results:
        flags |= raised
    return flags_set(flags, mxcsr)
