"""The validator with one check missing: its sources, and the image.

The image needs no compiler: in the built-in one, the jump to the rejection is replaced by instructions that do nothing.
"""

from collections.abc import Iterator
from functools import cache

import msgspec
from capstone import CS_ARCH_X86, CS_MODE_64, Cs, CsInsn

from enclave_sim.labs.case import Case
from enclave_sim.labs.kernel import edited, offset_of, source
from firmware import Firmware, built_in

REASON = "unknown local"
"""The words of the rejection that never happens."""
INSTRUCTIONS, HEADER = "instructions.c", "vmm.h"
_CHECK = "    REQUIRE(index < d->parameters.count + d->local_count, UNKNOWN_LOCAL, d->instruction);\n"
_LIMIT = "#define LIMIT_GLOBALS       8192        /* the memory for them */"
_FUNCTION = "instruction"
_AHEAD = 4
"""The reason is loaded within so many instructions of the rejection's beginning."""
_NOTHING = {2: bytes.fromhex("6690"), 6: bytes.fromhex("660f1f440000")}


def limit(case: Case) -> int:
    """Return the number of globals that the validator of a case permits."""
    return case.number("globals", 20, 4000)


def sources(case: Case, *, is_open: bool = True) -> dict[str, bytes]:
    """Return the sources of the validator that are not the built-in ones.

    Args:
        case: The case.
        is_open: Without the check.

    Returns:
        The files by their names.
    """
    lower = _LIMIT.replace("8192   ", f"{limit(case):<7}").replace("the memory for them", "of this course")
    text = source(f"vmm/{INSTRUCTIONS}")
    return {
        INSTRUCTIONS: (edited(text, {_CHECK: ""}) if is_open else text).encode(),
        HEADER: edited(source(f"vmm/{HEADER}"), {_LIMIT: lower}).encode(),
    }


@cache
def vulnerable() -> Firmware:
    """Return the kernel whose validator lacks the check."""
    image = bytearray(built_in().image)
    (jump,) = _jumps()
    start = offset_of(jump.address)
    image[start : start + jump.size] = _NOTHING[jump.size]
    return msgspec.structs.replace(built_in(), image=bytes(image))


def _jumps() -> Iterator[CsInsn]:
    """Yield the conditional jumps of the function that lead to the rejection for this reason."""
    symbols = built_in().symbols
    begin = symbols[_FUNCTION]
    end = min(address for address in symbols.values() if address > begin)
    at = offset_of(begin)
    code = list(Cs(CS_ARCH_X86, CS_MODE_64).disasm(built_in().image[at : at + end - begin], begin))
    places = {one.address: number for number, one in enumerate(code)}
    number = built_in().description.reasons.index(REASON)
    for one in code:
        if one.mnemonic.startswith("j") and one.mnemonic != "jmp" and one.op_str.startswith("0x"):
            goal = places.get(int(one.op_str, 16))
            if goal is not None and _rejects(code[goal : goal + _AHEAD], number):
                yield one


def _rejects(code: list[CsInsn], reason: int) -> bool:
    return any((one.mnemonic, one.op_str) == ("mov", f"esi, {reason:#x}") for one in code) and any(
        (one.mnemonic, one.op_str) == ("call", f"{built_in().symbols['reject']:#x}") for one in code
    )
