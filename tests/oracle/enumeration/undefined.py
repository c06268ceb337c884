"""Results that the manual leaves undefined, by instruction. Two processors may differ there, so they are not compared.

Sections are those of SDM volume 2 under the instruction's name, "Flags Affected", unless another is given.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.machine.programs.program import Mode
from tests.oracle.enumeration.encoding import OPERAND_SIZE
from tests.oracle.enumeration.forms import Form
from tests.oracle.enumeration.programs import Case

CF, PF, AF, ZF, SF, OF = 1 << 0, 1 << 2, 1 << 4, 1 << 6, 1 << 7, 1 << 11
ALL = CF | PF | AF | ZF | SF | OF
_RCX = 1
_ONE, _TWO = b"", b"\x0f"


@dataclass(frozen=True)
class Undefined:
    """Flags that an instruction leaves undefined, and the reason if nothing else of it is compared."""

    instructions: str
    flags: Callable[[Case], int]
    forms: Callable[[Form], bool]
    reason: str
    result: Callable[[Case], bool] = lambda _case: False
    """Whether the destination is also undefined."""


def _always(flags: int) -> Callable[[Case], int]:
    return lambda _case: flags


def _in(escape: bytes, opcodes: list[int], *extensions: int) -> Callable[[Form], bool]:
    wanted = frozenset(opcodes)

    def applies(form: Form) -> bool:
        return form.escape == escape and form.opcode in wanted and (not extensions or form.extension in extensions)

    return applies


def _any(*tests: Callable[[Form], bool]) -> Callable[[Form], bool]:
    return lambda form: any(test(form) for test in tests)


def _vex(opcode: int, *extensions: int) -> Callable[[Form], bool]:
    """The VEX map 0F38."""
    return lambda form: (
        form.vex
        and form.escape[1] & 3 == 2
        and form.opcode == opcode
        and (not extensions or form.extension in extensions)
    )


def width(form: Form) -> int:
    """The operand size in bits of a form whose opcode is even for bytes."""
    if form.opcode % 2 == 0:
        return 8
    return wide(form)


def wide(form: Form) -> int:
    """The operand size in bits of a form without a byte variant."""
    last = form.prefixes[-1] if form.prefixes and form.mode == Mode.LONG.value else 0
    if last & 0xF8 == 0x48:
        return 64
    return 16 if OPERAND_SIZE in form.prefixes else 32


def count(case: Case) -> int:
    """The shift or rotate count: 1, CL or the immediate, modulo 32 or 64."""
    form = case.form
    size = wide(form) if form.escape else width(form)
    if form.escape:  # SHLD, SHRD
        by = case.program.code[case.length - 1] if form.opcode in (0xA4, 0xAC) else case.program.registers[_RCX]
    elif form.opcode in (0xC0, 0xC1):
        by = case.program.code[case.length - 1]
    else:
        by = 1 if form.opcode in (0xD0, 0xD1) else case.program.registers[_RCX]
    return by & (63 if size == 64 else 31)


def _shift(case: Case) -> int:
    by = count(case)
    if by == 0:
        return 0
    overflows = by >= width(case.form) and case.form.extension != 7
    return AF | (0 if by == 1 else OF) | (CF if overflows else 0)


def _rotation(case: Case) -> int:
    return 0 if count(case) in (0, 1) else OF


def _rotation_through_carry(case: Case) -> int:
    return 0 if count(case) in (0, 1) else OF


def _double_shift(case: Case) -> int:
    by = count(case)
    if by == 0:
        return 0
    if by > wide(case.form):
        return ALL
    return AF | (0 if by == 1 else OF)


_SHIFTS = [0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3]
_LOGICAL = _any(
    _in(_ONE, [op | low for op in (0x08, 0x20, 0x30) for low in range(6)]),
    _in(_ONE, [0x80, 0x81, 0x82, 0x83], 1, 4, 6),
    _in(_ONE, [0x84, 0x85, 0xA8, 0xA9]),
    _in(_ONE, [0xF6, 0xF7], 0, 1),
)
TABLE = (
    Undefined("AND, OR, XOR, TEST", _always(AF), _LOGICAL, "AF is undefined"),
    Undefined(
        "SAL, SAR, SHL, SHR",
        _shift,
        _in(_ONE, _SHIFTS, 4, 5, 6, 7),
        "AF; OF for counts other than 1; CF of SHL and SHR for counts of the operand's size and more",
    ),
    Undefined("ROL, ROR", _rotation, _in(_ONE, _SHIFTS, 0, 1), "OF for counts other than 1"),
    Undefined("RCL, RCR", _rotation_through_carry, _in(_ONE, _SHIFTS, 2, 3), "OF for counts other than 1"),
    Undefined(
        "SHLD, SHRD",
        _double_shift,
        _in(_TWO, [0xA4, 0xA5, 0xAC, 0xAD]),
        "AF; OF for counts other than 1; all flags and the destination for counts above the operand's size",
        lambda case: count(case) > wide(case.form),
    ),
    Undefined(
        "MUL, IMUL",
        _always(SF | ZF | AF | PF),
        _any(_in(_ONE, [0xF6, 0xF7], 4, 5), _in(_ONE, [0x69, 0x6B]), _in(_TWO, [0xAF])),
        "SF, ZF, AF and PF are undefined",
    ),
    Undefined("DIV, IDIV", _always(ALL), _in(_ONE, [0xF6, 0xF7], 6, 7), "all are undefined"),
    Undefined(
        "BT, BTS, BTR, BTC", _always(OF | SF | AF | PF), _in(_TWO, [0xA3, 0xAB, 0xB3, 0xBB, 0xBA]), "OF, SF, AF, PF"
    ),
    Undefined(
        "BSF, BSR, LZCNT, TZCNT",
        _always(CF | OF | SF | AF | PF),
        lambda form: _in(_TWO, [0xBC, 0xBD])(form) and 0xF3 not in form.prefixes,
        "CF, OF, SF, AF and PF",
    ),
    Undefined(
        "LZCNT, TZCNT",
        _always(OF | SF | AF | PF),
        lambda form: _in(_TWO, [0xBC, 0xBD])(form) and 0xF3 in form.prefixes,
        "OF, SF, PF and AF",
    ),
    Undefined("AAA, AAS", _always(OF | SF | ZF | PF), _in(_ONE, [0x37, 0x3F]), "OF, SF, ZF and PF"),
    Undefined("AAM, AAD", _always(OF | AF | CF), _in(_ONE, [0xD4, 0xD5]), "OF, AF and CF"),
    Undefined("DAA, DAS", _always(OF), _in(_ONE, [0x27, 0x2F]), "OF"),
    Undefined("ANDN", _always(AF | PF), _vex(0xF2), "AF and PF"),
    Undefined("BLSI, BLSMSK, BLSR", _always(AF | PF), _vex(0xF3, 1, 2, 3), "AF and PF"),
    Undefined("BZHI", _always(AF | PF), _vex(0xF5), "AF and PF"),
    Undefined("BEXTR", _always(AF | SF | PF), _vex(0xF7), "AF, SF and PF"),
    Undefined(
        "BSWAP",
        _always(0),
        _in(_TWO, list(range(0xC8, 0xD0))),
        "of a 16-bit register the result is undefined",
        lambda case: wide(case.form) == 16,
    ),
)


def undefined(case: Case) -> tuple[int, bool]:
    """The flags that are undefined after a program, and whether its result is."""
    row = next((row for row in TABLE if row.forms(case.form)), None)
    return (row.flags(case), row.result(case)) if row else (0, False)
