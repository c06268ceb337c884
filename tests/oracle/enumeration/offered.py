"""Instructions of features that we offer and a host's processor may lack: without them it is not a witness."""

from collections.abc import Collection, Mapping

from tests.machine.programs.program import Mode
from tests.oracle.enumeration.encoding import OPERAND_SIZE, REP, REPNE
from tests.oracle.enumeration.matching import ONE, THREE_3A, THREE_38, TWO, Applies, any_of, at
from tests.oracle.enumeration.programs import Case


def _vex(*opcodes: int) -> Applies:
    return lambda case: case.form.vex and case.form.opcode in opcodes


def _wide(case: Case) -> bool:
    return case.form.prefixes[-1:] in (b"\x48", b"\x4f")


def _exchange_of_16_bytes(case: Case) -> bool:
    return at(TWO, (0xC7,), 1, register=False)(case) and _wide(case)


def _flags_in_64_bit_mode(case: Case) -> bool:
    return case.form.mode == Mode.LONG.value and at(ONE, (0x9E, 0x9F))(case)


FEATURES: Mapping[str, Applies] = {
    "pni": any_of(
        *(at(TWO, (0x7C, 0x7D, 0xD0, 0xF0)), at(TWO, (0x12, 0x16), prefix=REP), at(TWO, (0x12,), prefix=REPNE)),
        *(at(ONE, (0xDB, 0xDD, 0xDF), 1, register=False),),
    ),
    "ssse3": any_of(at(THREE_38, (*range(0x0C), 0x1C, 0x1D, 0x1E)), at(THREE_3A, (0x0F,))),
    "sse4_1": any_of(
        at(THREE_38, (0x10, 0x14, 0x15, 0x17, *range(0x20, 0x26), *range(0x28, 0x2C), *range(0x30, 0x36))),
        at(THREE_38, range(0x38, 0x42)),
        at(THREE_3A, (*range(0x08, 0x0F), *range(0x14, 0x18), *range(0x20, 0x23), *range(0x40, 0x43))),
    ),
    "sse4_2": any_of(at(THREE_38, (0x37,)), at(THREE_3A, range(0x60, 0x64)), at(THREE_38, (0xF0, 0xF1), prefix=REPNE)),
    "pclmulqdq": at(THREE_3A, (0x44,)),
    "aes": any_of(at(THREE_38, range(0xDB, 0xE0)), at(THREE_3A, (0xDF,))),
    "movbe": at(THREE_38, (0xF0, 0xF1)),
    "adx": any_of(at(THREE_38, (0xF6,), prefix=OPERAND_SIZE), at(THREE_38, (0xF6,), prefix=REP)),
    "bmi1": any_of(_vex(0xF2, 0xF3, 0xF7), at(TWO, (0xBC,), prefix=REP)),
    "bmi2": _vex(0xF0, 0xF5, 0xF6, 0xF7),
    "abm": at(TWO, (0xBD,), prefix=REP),
    "popcnt": at(TWO, (0xB8,), prefix=REP),
    "cx16": _exchange_of_16_bytes,
    "lahf_lm": _flags_in_64_bit_mode,
    "rdtscp": at(TWO, (0x01,), 7, register=True, rm=(1,)),
}
"""By Linux's names. FSGSBASE is missing because witness.c requires it."""


def lacking(case: Case, features: Collection[str]) -> str | None:
    """The feature that a processor with these `features` lacks for a case, or None."""
    return next((name for name, applies in FEATURES.items() if name not in features and applies(case)), None)
