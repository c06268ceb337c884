"""The x87 instructions by opcode and ModRM byte (SDM volume 2, appendix A.5).

It includes encodings that are blank in the manual but that all processors execute alike: aliases of FCOM, FCOMP, FXCH
and FSTP, and FFREEP.
"""

from collections.abc import Callable
from functools import partial

from machine.instructions.floating_point import (
    arithmetic,
    comparison_operations,
    conversions,
    remainder,
    scaling,
    special_operations,
    stack_operations,
    transcendental,
)
from machine.instructions.floating_point.clearing import CLEARING
from machine.instructions.floating_point.conversions import DOUBLE, SINGLE
from machine.instructions.floating_point.extended import INDEFINITE
from machine.instructions.floating_point.forms import Access, Form, register_form
from machine.instructions.floating_point.stack_operations import Binary, Widen
from machine.instructions.floating_point.words import C2


def _each_register(first: int, handler: Callable[..., None]) -> dict[int, Form]:
    return {first + number: register_form(handler, number) for number in range(8)}


_ARITHMETIC: dict[int, Binary] = {
    0: arithmetic.add,
    1: arithmetic.multiply,
    4: arithmetic.subtract,
    5: arithmetic.reverse_subtract,
    6: arithmetic.divide,
    7: arithmetic.reverse_divide,
}
"""By the reg field of ModRM; 2 and 3 are FCOM and FCOMP."""
_TO_REGISTER = {0: 0, 1: 1, 4: 5, 5: 4, 6: 7, 7: 6}
"""The reg field of forms with destination ST(i), in which FSUB and FSUBR, and FDIV and FDIVR, are exchanged."""

_CF, _PF, _ZF = 1, 4, 64


def _register_forms() -> dict[tuple[int, int], Form]:
    """Return the forms without a memory operand, by opcode and ModRM byte."""
    so, compared, special = stack_operations, comparison_operations, special_operations
    rows: dict[int, dict[int, Form]] = {opcode: {} for opcode in range(0xD8, 0xE0)}
    for field, operation in _ARITHMETIC.items():
        first = 0xC0 + 8 * field
        rows[0xD8] |= _each_register(first, so.binary(operation))
        target = 0xC0 + 8 * _TO_REGISTER[field]
        rows[0xDC] |= _each_register(target, so.binary(operation, to_register=True))
        rows[0xDE] |= _each_register(target, so.binary(operation, to_register=True, pops=True))
    for opcode in (0xD8, 0xDC):
        rows[opcode] |= _each_register(0xD0, compared.compare()) | _each_register(0xD8, compared.compare(pops=1))
    rows[0xDE] |= _each_register(0xD0, compared.compare(pops=1)) | {0xD9: register_form(compared.compare(pops=2), 1)}
    rows[0xD9] |= _each_register(0xC0, so.load_register)
    for opcode in (0xD9, 0xDD, 0xDF):
        rows[opcode] |= _each_register(0xC8, so.exchange)
    rows[0xDD] |= _each_register(0xC0, special.free)
    rows[0xDD] |= _each_register(0xD0, so.store_register(pops=False))
    rows[0xD9] |= _each_register(0xD8, so.pop_into_register)
    for opcode, first in ((0xDD, 0xD8), (0xDF, 0xD0), (0xDF, 0xD8)):
        rows[opcode] |= _each_register(first, so.store_register(pops=True))
    rows[0xDD] |= _each_register(0xE0, compared.compare(quiet=True))
    rows[0xDD] |= _each_register(0xE8, compared.compare(quiet=True, pops=1))
    rows[0xDA][0xE9] = register_form(compared.compare(quiet=True, pops=2), 1)
    for opcode, pops in ((0xDB, 0), (0xDF, 1)):
        rows[opcode] |= _each_register(0xE8, compared.compare_to_flags(quiet=True, pops=pops))
        rows[opcode] |= _each_register(0xF0, compared.compare_to_flags(quiet=False, pops=pops))
    for row, flag in enumerate((_CF, _ZF, _CF | _ZF, _PF)):
        rows[0xDA] |= _each_register(0xC0 + 8 * row, so.conditional_move(flag, wanted=True))
        rows[0xDB] |= _each_register(0xC0 + 8 * row, so.conditional_move(flag, wanted=False))
    rows[0xDF] |= _each_register(0xC0, special.free_and_pop)
    rows[0xDF][0xE0] = register_form(special.store_status, 0, waits=False, is_control=True)
    for modrm in (0xE0, 0xE1, 0xE4):
        rows[0xDB][modrm] = register_form(special.no_operation, 0, waits=False, is_control=True)
    rows[0xD9] |= _group_d9()
    return CLEARING | {(opcode, modrm): form for opcode, row in rows.items() for modrm, form in row.items()}


def _group_d9() -> dict[int, Form]:
    so, compared, special = stack_operations, comparison_operations, special_operations
    handlers: dict[int, Callable[..., None]] = {
        0xD0: special.no_operation,
        0xE0: so.unary(so.change_sign),
        0xE1: so.unary(so.absolute),
        0xE4: compared.test,
        0xE5: compared.examine,
        0xF0: so.unary(transcendental.power_of_two_minus_one),
        0xF1: so.binary_and_pop(transcendental.logarithm_product),
        0xF2: special.tangent,
        0xF3: so.binary_and_pop(transcendental.arc_tangent),
        0xF4: special.extract,
        0xF5: so.binary_of_two(partial(remainder.remainder, to_nearest=True), has_quotient=True),
        0xF6: special.decrement_top,
        0xF7: special.increment_top,
        0xF8: so.binary_of_two(remainder.remainder, has_quotient=True),
        0xF9: so.binary_and_pop(transcendental.logarithm_product_of_sum),
        0xFA: so.unary(arithmetic.square_root),
        0xFB: special.sine_and_cosine,
        0xFC: so.unary(scaling.round_to_integer),
        0xFD: so.binary_of_two(scaling.scale),
        0xFE: so.unary(transcendental.sine, condition=C2),
        0xFF: so.unary(transcendental.cosine, condition=C2),
    }
    return {modrm: register_form(handler, 0) for modrm, handler in handlers.items()}


def _memory_forms() -> dict[tuple[int, int], Form]:
    """Return the forms with a memory operand, by opcode and reg field."""
    so, compared = stack_operations, comparison_operations
    forms: dict[tuple[int, int], Form] = {}

    def add(opcode: int, field: int, access: Access, handler: Callable[..., None], length: int) -> None:
        forms[opcode, field] = Form(access, handler, length, waits=True, is_control=False)

    widenings: tuple[tuple[int, int, Widen], ...] = (
        (0xD8, 4, lambda datum: conversions.widen(datum, SINGLE)),
        (0xDC, 8, lambda datum: conversions.widen(datum, DOUBLE)),
        (0xDA, 4, lambda datum: conversions.widen_integer(datum, 32)),
        (0xDE, 2, lambda datum: conversions.widen_integer(datum, 16)),
    )
    for opcode, length, widen in widenings:
        for field, operation in _ARITHMETIC.items():
            add(opcode, field, Access.LOADS, so.binary_with_operand(operation, widen), length)
        add(opcode, 2, Access.LOADS, compared.compare_operand(widen), length)
        add(opcode, 3, Access.LOADS, compared.compare_operand(widen, pops=1), length)
    for opcode, length, form in ((0xD9, 4, SINGLE), (0xDD, 8, DOUBLE)):
        add(opcode, 0, Access.LOADS, so.load_operand(partial(_load_real, form)), length)
        add(opcode, 2, Access.STORES, so.store_real(form, pops=False), length)
        add(opcode, 3, Access.STORES, so.store_real(form, pops=True), length)
    for opcode, length in ((0xDB, 4), (0xDF, 2)):
        width = 8 * length
        add(opcode, 0, Access.LOADS, so.load_operand(partial(_load_integer, width)), length)
        add(opcode, 1, Access.STORES, so.store_integer(width, pops=True, truncate=True), length)
        add(opcode, 2, Access.STORES, so.store_integer(width, pops=False), length)
        add(opcode, 3, Access.STORES, so.store_integer(width, pops=True), length)
    add(0xDD, 1, Access.STORES, so.store_integer(64, pops=True, truncate=True), 8)
    add(0xDF, 5, Access.LOADS, so.load_operand(partial(_load_integer, 64)), 8)
    add(0xDF, 7, Access.STORES, so.store_integer(64, pops=True), 8)
    add(0xDB, 5, Access.LOADS, so.load_operand(lambda datum, _control: (datum, 0)), 10)
    add(0xDB, 7, Access.STORES, so.store_operand(lambda number, _control: (number, 0), INDEFINITE, pops=True), 10)
    add(0xDF, 4, Access.LOADS, so.load_operand(lambda datum, _control: (conversions.load_decimal(datum), 0)), 10)
    add(
        0xDF,
        6,
        Access.STORES,
        so.store_operand(conversions.store_decimal, conversions.DECIMAL_INDEFINITE, pops=True),
        10,
    )
    return forms | _control_forms()


def _load_real(form: conversions.Format, datum: int, control: int) -> tuple[int | None, int]:
    return conversions.load_real(datum, form, control)


def _load_integer(width: int, datum: int, _control: int) -> tuple[int | None, int]:
    return conversions.widen_integer(datum, width)


def _control_forms() -> dict[tuple[int, int], Form]:
    rows = (
        (0xD9, 4, Access.LOAD_ENVIRONMENT, 0, True),
        (0xD9, 5, Access.LOAD_CONTROL, 2, True),
        (0xD9, 6, Access.STORE_ENVIRONMENT, 0, False),
        (0xD9, 7, Access.STORE_CONTROL, 2, False),
        (0xDD, 4, Access.RESTORE, 0, True),
        (0xDD, 6, Access.SAVE, 0, False),
        (0xDD, 7, Access.STORE_STATUS, 2, False),
    )
    return {
        (opcode, field): Form(access, special_operations.no_operation, length, waits, is_control=True)
        for opcode, field, access, length, waits in rows
    }


REGISTER_FORMS = _register_forms()
MEMORY_FORMS = _memory_forms()
