"""Where two right answers may differ: what the manual leaves open, and what Linux or AMD report differently.

Undefined flags are in `undefined.py`, cases that may end in two ways in `ends.py`, cases that the host's processor
cannot decide in `judges.py`. Volumes and sections are those of Intel's SDM.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

from tests.machine.programs.program import GENERAL, Mode
from tests.oracle.enumeration.encoding import OPERAND_SIZE, REP, REPNE
from tests.oracle.enumeration.matching import ONE, THREE_3A, TWO, Applies, any_of, at, modrm
from tests.oracle.enumeration.programs import Case
from tests.oracle.enumeration.undefined import ALL, ZF, undefined
from tests.oracle.enumeration.witnesses import State
from tests.oracle.random_programs.program import fx_fields

_UE, _PE, _ES, _C0, _C1, _C2, _C3, _BUSY = 0x10, 0x20, 0x80, 0x100, 0x200, 0x400, 0x4000, 0x8000
_FAULTS_AT_OPERANDS, _TOP = frozenset(["vector 13", "vector 14", "vector 17", "vector 19"]), 7 << 11
_FIRST_OF_KERNEL, _PRESENT = 1 << 47, 1
_RELATIVE_ERROR = 1.5 * 2.0**-12
_DPPS = 0x40
_OF_A_QUARTER, _OF_A_HALF, _OF_INFINITY = 0x3FFD, 0x3FFE, 0x7FFF
_ULPS = 2
"""Two results that are each within one unit in the last place of the exact one."""


@dataclass(frozen=True)
class Tolerance:
    """Fields that may differ after some programs: `accepts` is given a field's two values."""

    name: str
    reason: str
    fields: frozenset[str]
    applies: Applies
    accepts: Callable[[Case, State, int, int], bool]


def _always(_case: Case, _host: State, _theirs: int, _mine: int) -> bool:
    return True


def _everywhere(_case: Case) -> bool:
    return True


def _outside_64_bit_mode(case: Case) -> bool:
    return case.form.mode != Mode.LONG.value


def _near(_case: Case, _host: State, theirs: int, mine: int) -> bool:
    """Four single-precision numbers, each within the error allowed to both results."""
    pairs = zip(*(struct.unpack("<4f", value.to_bytes(16, "little")) for value in (theirs, mine)), strict=True)
    return all(
        a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= 2 * _RELATIVE_ERROR * abs(a) for a, b in pairs
    )


def _other_nans(theirs: int, mine: int, layout: str) -> bool:
    """Return whether only elements differ that are NaNs on both sides."""
    pairs = zip(*(struct.unpack(layout, value.to_bytes(16, "little")) for value in (theirs, mine)), strict=True)
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


def _ordinal(number: int) -> int:
    """Return the place of an 80-bit number in the order of its sign's numbers; those of another sign are far away."""
    sign, exponent, significand = number >> 79, number >> 64 & 0x7FFF, number & 2**64 - 1
    return (sign << 80) + (max(exponent, 1) << 63) + significand


def _other_flags(case: Case, theirs: int, mine: int) -> bool:
    superfluous, missing = theirs & ~mine & 0xFF, mine & ~theirs & 0xFF
    allowed = _undefined_conditions(case) | _PE | _UE | _ES | _BUSY
    return (theirs ^ mine) & ~allowed == 0 and not superfluous & _UE and not missing & _PE


def _exponent(case: Case) -> int:
    """Return the biased exponent of ST(0)."""
    return fx_fields(case.program.fx)["ST0"] >> 64 & _OF_INFINITY


def _is_out_of_range(case: Case) -> bool:
    minus_1, plus_1 = at(ONE, (0xD9,), 6, register=True, rm=(0,)), at(ONE, (0xD9,), 7, register=True, rm=(1,))
    return (minus_1(case) and _exponent(case) > _OF_A_HALF) or (plus_1(case) and _exponent(case) >= _OF_A_QUARTER)


def _same_but_present(_case: Case, host: State, theirs: int, mine: int) -> bool:
    return theirs ^ mine == _PRESENT and host.values["CR2"] >= _FIRST_OF_KERNEL


def _narrow_exchange(case: Case) -> bool:
    form = case.form
    wide = form.prefixes[-1:] >= b"\x48" and form.prefixes[-1:] < b"\x50"
    return at(TWO, (0xB1,), register=True)(case) and not wide and OPERAND_SIZE not in form.prefixes


def _without_prefix(case: Case) -> bool:
    return REP not in case.form.prefixes and REPNE not in case.form.prefixes and OPERAND_SIZE not in case.form.prefixes


def _undefined_conditions(case: Case) -> int:
    """Condition codes that an x87 instruction leaves undefined."""
    if _DEFINES_CONDITIONS(case):
        return 0
    if _TRANSCENDENTAL(case):
        return (_C0 | _C1 | _C3) | (0 if modrm(case) in (0xF2, 0xFB, 0xFE, 0xFF) else _C2)
    return _C0 | _C2 | _C3


_DEFINES_CONDITIONS = any_of(
    *(at(ONE, (0xD8, 0xDC, 0xDA, 0xDE), 2, 3, register=False), at(ONE, (0xD8, 0xDC), 2, 3, register=True)),
    *(at(ONE, (0xDE,), 3, register=True), at(ONE, (0xDA,), 5, register=True), at(ONE, (0xDD,), 4, 5, register=True)),
    *(at(ONE, (0xD9,), 4), at(ONE, (0xDD,), 4, 6, register=False), at(ONE, (0xD9,), 6, register=False)),
    *(at(ONE, (0xDB,), 4, register=True), at(ONE, (0xDF,), 4, register=True)),
    *(at(ONE, (0xD9,), 7, register=True, rm=(0,)), at(ONE, (0xD9,), 6, register=True, rm=(5,))),
)
"""FCOM, FUCOM, FICOM, FTST, FXAM, FPREM, FLDENV, FRSTOR, FNSAVE, FNSTENV, FNINIT, FNSTSW."""
_TRANSCENDENTAL = any_of(
    at(ONE, (0xD9,), 6, register=True, rm=(0, 1, 2, 3)), at(ONE, (0xD9,), 7, register=True, rm=(1, 3, 6, 7))
)
"""F2XM1, FYL2X, FPTAN, FPATAN, FYL2XP1, FSINCOS, FSIN, FCOS."""
_TRIGONOMETRIC = any_of(at(ONE, (0xD9,), 6, register=True, rm=(2,)), at(ONE, (0xD9,), 7, register=True, rm=(3, 6, 7)))
"""FPTAN, FSINCOS, FSIN, FCOS."""
IN_PARTS = any_of(
    *(at(TWO, (0xAE,), 0, 1, register=False), at(TWO, (0xF7,))),
    *(
        at(ONE, (0xD9, 0xDD, 0xDF), 4, 6, register=False),
        at(ONE, (0xC8, 0xCA, 0xCB, 0xCF, 0x9A, 0x60, 0x61, 0xA6, 0xA7)),
    ),
    at(ONE, (0xFF,), 3),
)
"""FXSAVE, FXRSTOR, MASKMOV, FLDENV, FNSTENV, FRSTOR, FNSAVE, FBLD, FBSTP, ENTER, far RET, IRET, far CALL, PUSHA,
POPA, CMPS."""
_COMPARES = any_of(
    *(at(ONE, (0xD8, 0xDC, 0xDA, 0xDE), 2, 3, register=False), at(ONE, (0xD8, 0xDC), 2, 3, register=True)),
    *(at(ONE, (0xDE,), 3, register=True), at(ONE, (0xDA,), 5, register=True), at(ONE, (0xDD,), 4, 5, register=True)),
    *(at(ONE, (0xD9,), 4, register=True, rm=(4,)), at(ONE, (0xDE,), 2, register=True)),
)
"""FCOM, FCOMP, FCOMPP, FUCOM, FUCOMP, FUCOMPP, FICOM, FICOMP, FTST."""
_COMPARES_INTO_FLAGS = any_of(at(ONE, (0xDB, 0xDF), 5, 6, register=True))
"""FCOMI, FUCOMI, FCOMIP, FUCOMIP."""
_STATUS = frozenset(["FSW"])
_STACK = frozenset(f"ST{n}" for n in range(8))
_VECTORS = frozenset(f"XMM{n}" for n in range(16))
_REGISTERS = frozenset(GENERAL)
_REACHED_IN_64_BIT_MODE = frozenset(
    [f"{name}{n}" for name in ("R", "XMM") for n in range(8, 16)] + ["FS_BASE", "GS_BASE"]
)
TOLERANCES = (
    Tolerance(
        "registers of 64-bit mode",
        "other modes do not reach them (volume 1, 3.4.1.1 and 10.2)",
        _REACHED_IN_64_BIT_MODE,
        _outside_64_bit_mode,
        _always,
    ),
    Tolerance(
        "null selectors",
        "the IRET by which Linux calls the signal handler makes each of them 0 (volume 2, IRET)",
        frozenset(["DS", "ES", "FS", "GS"]),
        _everywhere,
        lambda _case, _host, theirs, mine: theirs == 0 and mine < 4,
    ),
    Tolerance(
        "RDTSC, RDTSCP, CPUID",
        "time, and what a processor says of itself (volume 3, 17.17; volume 2, CPUID)",
        frozenset(["RAX", "RBX", "RCX", "RDX"]),
        any_of(at(TWO, (0x31, 0xA2)), at(TWO, (0x01,), 7, register=True, rm=(1,))),
        _always,
    ),
    Tolerance(
        "LAR",
        "bits 19:16 of the result are undefined (volume 2, LAR)",
        _REGISTERS,
        at(TWO, (0x02,)),
        lambda _case, _host, theirs, mine: (theirs ^ mine) & ~0xF_0000 == 0,
    ),
    Tolerance(
        "LAR of 33H",
        "in the programs' protected mode it names 16-bit code, on Linux 64-bit code (volume 3, 3.4.5)",
        _REGISTERS,
        lambda case: at(TWO, (0x02,))(case) and case.form.mode == Mode.PROTECTED.value,
        lambda _case, _host, theirs, mine: (theirs ^ mine) & ~0xFF_0000 == 0,
    ),
    Tolerance(
        "CVTPI2PS of memory",
        "it switches to MMX (volume 2, CVTPI2PS); AMD does not for an operand in memory",
        _STATUS | _STACK | {"FTW"},
        lambda case: at(TWO, (0x2A,), register=False)(case) and _without_prefix(case),
        _always,
    ),
    Tolerance(
        "MMX state of a fault",
        "an instruction that faults changes nothing (volume 3, 6.5); AMD and, at stores, Intel have switched to MMX",
        _STATUS | _STACK | {"FTW"},
        at(TWO, (0x2A, 0x2C, 0x2D, 0x7E, 0x7F, 0xE7, 0xF7)),
        lambda _case, host, _theirs, _mine: host.end in _FAULTS_AT_OPERANDS and not host.values["FSW"] & _TOP,
    ),
    Tolerance(
        "CMPXCHG of a 32-bit register",
        "a failing one writes the destination to itself, which clears bits 63:32 (volume 2); AMD leaves them",
        _REGISTERS,
        _narrow_exchange,
        lambda _case, _host, theirs, mine: mine == theirs & 0xFFFF_FFFF,
    ),
    Tolerance(
        "PAUSE with REX.B",
        "F3H makes it PAUSE (volume 2, appendix A, table A-2); AMD executes XCHG",
        _REGISTERS,
        at(ONE, (0x90,), prefix=REP),
        lambda case, _host, theirs, mine: mine in case.program.registers and theirs in case.program.registers,
    ),
    Tolerance(
        "BSF, BSR of 0",
        "the destination is undefined (volume 2, BSF, BSR)",
        _REGISTERS,
        lambda case: at(TWO, (0xBC, 0xBD))(case) and REP not in case.form.prefixes,
        lambda _case, host, _theirs, _mine: bool(host.values["RFLAGS"] & ZF),
    ),
    Tolerance(
        "undefined results",
        "BSWAP of 16 bits, SHLD and SHRD by more than the operand's size (volume 2)",
        _REGISTERS,
        lambda case: undefined(case)[1],
        _always,
    ),
    Tolerance(
        "RCPPS, RSQRTPS",
        "a relative error of 1.5 * 2^-12 is allowed (volume 2)",
        _VECTORS,
        at(TWO, (0x52, 0x53)),
        _near,
    ),
    Tolerance(
        "NaNs of DPPS, DPPD",
        "which of several NaNs becomes a sum is not said (volume 2, DPPS)",
        _VECTORS,
        at(THREE_3A, (0x40, 0x41)),
        lambda case, _host, theirs, mine: _other_nans(theirs, mine, "<4f" if case.form.opcode == _DPPS else "<2d"),
    ),
    Tolerance(
        "x87 condition codes",
        'undefined after most instructions (volume 1, 8.1.3.2, and volume 2, "FPU Flags Affected")',
        _STATUS,
        at(ONE, tuple(range(0xD8, 0xE0))),
        lambda case, _host, theirs, mine: (theirs ^ mine) & ~_undefined_conditions(case) == 0,
    ),
    Tolerance(
        "condition codes after an unmasked exception of FCOM and the like",
        "set only if the exception is masked (volume 2, FCOM, FUCOM, FICOM, FTST); AMD sets them",
        _STATUS,
        _COMPARES,
        lambda _case, _host, theirs, mine: bool(theirs & _ES) and (theirs ^ mine) & ~(_C0 | _C2 | _C3) == 0,
    ),
    Tolerance(
        "LSL of 80H",
        "in the programs it names execute-only code; Linux's table ends before it (volume 3, 3.5.1)",
        _REGISTERS | {"RFLAGS"},
        at(TWO, (0x03,)),
        lambda _case, _host, theirs, mine: mine & 0xFFFF == 0xFFFF or (theirs ^ mine, theirs & ZF) == (ZF, 0),
    ),
    Tolerance(
        "C1 after FCOMI and the like",
        "it is cleared (volume 2, FCOMI); AMD leaves it",
        _STATUS,
        _COMPARES_INTO_FLAGS,
        lambda _case, _host, theirs, mine: theirs ^ mine == _C1 and not mine & _C1,
    ),
    Tolerance(
        "flags after an unmasked exception of FCOMI and the like",
        "set only if the exception is masked (volume 2, FCOMI); AMD sets them",
        frozenset(["RFLAGS"]),
        _COMPARES_INTO_FLAGS,
        lambda case, host, _theirs, mine: bool(host.values["FSW"] & _ES) and mine & ALL == case.program.rflags & ALL,
    ),
    Tolerance(
        "arguments beyond pi / 4",
        "processors reduce them by a pi of 66 bits (volume 1, 8.3.8)",
        _STACK,
        lambda case: _TRIGONOMETRIC(case) and _exponent(case) >= _OF_A_HALF,
        _always,
    ),
    Tolerance(
        "F2XM1, FYL2XP1 out of range",
        "the result is undefined (volume 2, F2XM1, FYL2XP1)",
        _STATUS | _STACK,
        lambda case: _exponent(case) < _OF_INFINITY and _is_out_of_range(case),
        _always,
    ),
    Tolerance(
        "transcendental instructions",
        "within one unit in the last place of the exact result (volume 1, 8.3.10)",
        _STACK,
        _TRANSCENDENTAL,
        lambda _case, _host, theirs, mine: abs(_ordinal(theirs) - _ordinal(mine)) <= _ULPS,
    ),
    Tolerance(
        "flags of transcendental instructions",
        "Intel signals PE for exact results, too, and no UE where a denormal operand is the result (volume 1, 8.5.6)",
        _STATUS,
        _TRANSCENDENTAL,
        lambda case, _host, theirs, mine: _other_flags(case, theirs, mine),
    ),
    Tolerance(
        "page faults of instructions with several accesses",
        "the order in which they are made is not architectural (volume 3, 6.9)",
        frozenset(["CR2", "error_code"]),
        IN_PARTS,
        lambda _case, host, _theirs, _mine: host.end == "vector 14",
    ),
    Tolerance(
        "error code of a page fault above the user's addresses",
        "Linux sets P (volume 3, 4.7), so that a process does not learn what the kernel has mapped",
        frozenset(["error_code"]),
        _everywhere,
        lambda case, host, theirs, mine: "CR2" in host.values and _same_but_present(case, host, theirs, mine),
    ),
)


def tolerated(case: Case, host: State, name: str, theirs: int, mine: int) -> bool:
    """Return whether a field's difference is tolerated."""
    return any(name in row.fields and row.applies(case) and row.accepts(case, host, theirs, mine) for row in TOLERANCES)
