"""Cases that one processor may end otherwise than another, by the manual.

Volumes and sections are those of Intel's SDM.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.machine.programs.program import GENERAL, Mode
from tests.oracle.enumeration.encoding import REP, REPNE
from tests.oracle.enumeration.matching import ONE, THREE_3A, TWO, Applies, any_of, at
from tests.oracle.enumeration.programs import Case
from tests.oracle.enumeration.witnesses import State

_GP, _PF, _AC, _BREAKPOINT, _TRAP = "vector 13", "vector 14", "vector 17", "vector 3", "vector 1"
_ES = 0x80
_LONGEST_ACCESS = 16


@dataclass(frozen=True)
class EitherEnd:
    """Cases that may end in two ways: `accepts` is given both final states."""

    name: str
    reason: str
    applies: Applies
    accepts: Callable[[State, State], bool]


def _outside_64_bit_mode(case: Case) -> bool:
    return case.form.mode != Mode.LONG.value


def _wraps(host: State, ours: State) -> bool:
    beyond = any(ours.values[name] >= (1 << 32) - _LONGEST_ACCESS for name in GENERAL[:8])
    for one, other in ((host, ours), (ours, host)):
        if (one.end, one.values.get("error_code"), one.values["RIP"]) == (_GP, 0, other.values["RIP"]):
            wrapped = other.end == _PF and other.values.get("CR2", _LONGEST_ACCESS) < _LONGEST_ACCESS
            return wrapped or (other.end == _AC and beyond)
    return False


def _only_ours_checks_alignment(host: State, ours: State) -> bool:
    return ours.end == _AC and host.end in (_BREAKPOINT, _GP, _PF)


def _pends(host: State, ours: State) -> bool:
    """The host has stored nothing, and the exception is pending."""
    return host.end in (_BREAKPOINT, _TRAP) and bool(host.values["FSW"] & _ES) and ours.end in (_GP, _PF, _AC)


PUSH_SELECTOR = any_of(at(ONE, (0x06, 0x0E, 0x16, 0x1E)), at(TWO, (0xA0, 0xA8)))
ENDS = (
    EitherEnd(
        "accesses beyond 4 GBytes",
        "#GP on one processor, and another wraps (volume 3, 5.3)",
        _outside_64_bit_mode,
        _wraps,
    ),
    EitherEnd(
        "MOVUPS, MOVUPD, MOVDQU, LDDQU, PCMPESTRM and the like",
        "#AC may or may not be raised, depending on the processor (volume 2, MOVDQU, LDDQU)",
        any_of(
            at(TWO, (0x10, 0x11), register=False),
            at(TWO, (0x6F, 0x7F), register=False, prefix=REP),
            at(TWO, (0xF0,), register=False, prefix=REPNE),
            at(THREE_3A, range(0x60, 0x64), register=False),
        ),
        _only_ours_checks_alignment,
    ),
    EitherEnd(
        "selectors from 80H on",
        "Linux's table ends before them (volume 3, 3.5.1), that of the programs at FFH",
        any_of(
            *(at(ONE, (0x07, 0x17, 0x1F, 0x8E, 0x9A, 0xC4, 0xC5, 0xCA, 0xCB, 0xCF, 0xEA)), at(ONE, (0xFF,), 3, 5)),
            at(TWO, (0xA1, 0xA9, 0xB2, 0xB4, 0xB5)),
        ),
        lambda host, _ours: host.end == _GP and 0x80 <= host.values["error_code"] <= 0xFF,
    ),
    EitherEnd(
        "PUNPCKL of an MMX register",
        "the operand in memory has 4 bytes (volume 2, PUNPCKLBW); AMD may read 8",
        at(TWO, (0x60, 0x61, 0x62), register=False),
        lambda host, ours: host.end in (_PF, _AC) and ours.end == _BREAKPOINT,
    ),
    EitherEnd(
        "POP of a segment register",
        "Intel reads a selector (volume 3, table 6-7); AMD may read a whole word of the stack",
        any_of(at(ONE, (0x07, 0x17, 0x1F)), at(TWO, (0xA1, 0xA9))),
        lambda host, ours: host.end in (_PF, _AC) and ours.end in (_BREAKPOINT, _GP),
    ),
    EitherEnd(
        "PUSH of a segment register",
        "it pushes a zero-extended value, or writes 16 bits (volume 2, PUSH)",
        PUSH_SELECTOR,
        _only_ours_checks_alignment,
    ),
    EitherEnd(
        "stores of the x87 unit that an unmasked exception prevents",
        "AMD accesses memory all the same, as the order of exceptions has it (volume 3, 6.9); Intel does not",
        any_of(
            *(at(ONE, (0xD9,), 2, 3, register=False), at(ONE, (0xDB,), 1, 2, 3, 7, register=False)),
            *(at(ONE, (0xDD,), 1, 2, 3, register=False), at(ONE, (0xDF,), 1, 2, 3, 6, 7, register=False)),
        ),
        _pends,
    ),
)


def either_end(case: Case, host: State, ours: State) -> bool:
    """Return whether both ends of a case are right."""
    return any(row.applies(case) and row.accepts(host, ours) for row in ENDS)
