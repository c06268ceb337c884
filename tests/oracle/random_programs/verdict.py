"""Differences, and the table of known ones, each with its reason. If QEMU cannot judge (docs/oracle.md) or Unicorn is
known to be wrong (docs/unicorn.md, with a test that pins it), a difference is excused, by the narrowest rule that
matches it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import capstone

from machine.architecture.paging import is_canonical
from tests.oracle.random_programs.batch import Pair
from tests.oracle.random_programs.layout import CODE, VECTOR_END, VECTOR_TIMER
from tests.oracle.random_programs.program import State

NOT_COMPARED = frozenset(["FIP", "FCS", "FDP", "FDS", "FOP"])
"""Unicorn keeps the address of the last x87 instruction when FXRSTOR loads another."""
_MXCSR_FLAGS, _RF = 0x3F, 1 << 16
_INT1, _UD, _SS, _GP, _PF = 1, 6, 12, 13, 14
_X87 = re.compile(r"F[SCT]W|ST\d")
_REX_THEN_PREFIX = re.compile(rb"[\x40-\x4f][\x66\x67\xf0\xf2\xf3\x26\x2e\x36\x3e\x64\x65\x40-\x4f]")
_decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
_decoder.detail = True

Differences = dict[str, tuple[int, int]]


def differences(pair: Pair) -> Differences:
    """Differences by name: QEMU's value and ours. For memory, the first differing byte is given."""
    theirs, mine = dict(pair.qemu.named), dict(pair.ours.named)
    undefined = dict(pair.program.undefined_flags).get(theirs["RIP"], 0)
    for named in (theirs, mine):
        named["MXCSR"] &= ~_MXCSR_FLAGS  # Unicorn never sets them
        named["RFLAGS"] &= ~(_RF | undefined)  # QEMU pushes RF as 0 for faults; the manual says 1
        if theirs["vector"] != VECTOR_END:
            named["timer"] = 0  # QEMU counts an instruction that it refuses as one executed
    found = {name: (value, mine[name]) for name, value in theirs.items() if value != mine[name]}
    found = {name: values for name, values in found.items() if name not in NOT_COMPARED}
    for name, one, other in (("data", pair.qemu.data, pair.ours.data), ("stack", pair.qemu.stack, pair.ours.stack)):
        at = next((index for index, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)
        if at is not None:
            found[f"{name}[{at:#x}]"] = (one[at], other[at])
    return found


def third_differences(pair: Pair) -> Differences:
    """Differences between Bochs and our machine by name: its value and ours.

    Bochs's timer counts its instructions, so a program that the timer ends on either machine is not compared.
    """
    if pair.bochs is None or VECTOR_TIMER in (pair.bochs.named["vector"], pair.ours.named["vector"]):
        return {}
    theirs, mine = pair.bochs, pair.ours
    flags = dict(pair.program.undefined_flags).get(theirs.named["RIP"], 0)
    found = {
        name: (value, mine.named[name])
        for name, value in theirs.named.items()
        if name not in NOT_COMPARED | {"timer"} and _seen(name, value, flags) != _seen(name, mine.named[name], flags)
    }
    return found | _first_of_memory(theirs, mine)


def _seen(name: str, value: int, undefined: int) -> int:
    return value & ~undefined if name == "RFLAGS" else value


def _first_of_memory(theirs: State, mine: State) -> Differences:
    found: Differences = {}
    for name, one, other in (("data", theirs.data, mine.data), ("stack", theirs.stack, mine.stack)):
        at = next((index for index, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)
        if at is not None:
            found[f"{name}[{at:#x}]"] = (one[at], other[at])
    return found


@dataclass(frozen=True)
class Excuse:
    """One known difference."""

    name: str
    reason: str
    applies: Callable[[Pair, Differences], bool]


def instruction_at(pair: Pair, address: int) -> capstone.CsInsn | None:
    """The instruction of the program at an address."""
    code, offset = pair.program.code, address - CODE
    if not 0 <= offset < len(code):
        return None
    return next(_decoder.disasm(code[offset:] + b"\xcd\x80", address, 1), None)


def _fault(pair: Pair, vector: int, error_code: int | None = None) -> bool:
    named = pair.qemu.named
    return named["vector"] == vector and error_code in (None, named["error_code"])


def _branch_to_nowhere(pair: Pair, _found: Differences) -> bool:
    return _fault(pair, _GP, 0) and pair.ours.named["vector"] == _GP and not is_canonical(pair.qemu.named["RIP"])


def _unaligned(pair: Pair, _found: Differences) -> bool:
    found = instruction_at(pair, pair.qemu.named["RIP"]) if _fault(pair, _GP, 0) else None
    if found is None:  # capstone does not know it with these prefixes
        return pair.program.kind == "raw" and _fault(pair, _GP, 0) and b"\x0f" in pair.program.code
    return any(o.type == capstone.CS_OP_MEM and o.size == 16 for o in found.operands)


def _stack(pair: Pair, found: Differences) -> bool:
    return found.get("vector") == (_GP, _SS) and len(found) == 1 and pair.qemu.named["error_code"] == 0


def _undefined(pair: Pair, found: Differences) -> bool:
    if pair.program.kind != "raw":
        return False
    refused = "vector" in found and _UD in found["vector"]
    return refused or any(next(_decoder.disasm(i, CODE), None) is None for i in pair.program.instructions)


def _time(pair: Pair, found: Differences) -> bool:
    return pair.program.kind == "raw" and set(found) <= {"RAX", "RDX"} and b"\x0f\x31" in pair.program.code


def _reads_too_much(pair: Pair, _found: Differences) -> bool:
    found = instruction_at(pair, pair.ours.named["RIP"])
    return found is not None and found.mnemonic == "cvtps2pd" and pair.ours.named["vector"] == _PF


def _undefined_flags(pair: Pair, found: Differences) -> bool:
    return pair.program.kind == "raw" and set(found) == {"RFLAGS"}


def _torn_load(pair: Pair, found: Differences) -> bool:
    faults = pair.qemu.named["vector"] == pair.ours.named["vector"] == _PF
    return faults and all(name.startswith("XMM") for name in found)


def _flags_to_ah(pair: Pair, _found: Differences) -> bool:
    return pair.program.kind == "raw" and re.search(rb"[\x40-\x4f][\x9e\x9f]", pair.program.code) is not None


def _narrow_branch(pair: Pair, found: Differences) -> bool:
    theirs, mine = found.get("RIP", (0, 1))
    return theirs & 0xFFFF == mine and b"\x66" in pair.program.code


def _int_through_a_closed_gate(pair: Pair, found: Differences) -> bool:
    if set(found) != {"error_code"}:
        return False
    theirs, mine = found["error_code"]
    return theirs & 0xF == 2 and theirs >> 4 == mine >> 3 and mine & 7 == 2


def _int1(pair: Pair, _found: Differences) -> bool:
    found = instruction_at(pair, pair.qemu.named["RIP"])
    return found is not None and found.bytes[-1] == 0xF1 and pair.ours.named["vector"] == _INT1


def _reserved_comparison(pair: Pair, _found: Differences) -> bool:
    offset = pair.ours.named["RIP"] - CODE
    return pair.ours.named["vector"] == _UD and b"\x0f\xc2" in pair.program.code[max(0, offset) :][:6]


def _comparison_and_exchange(pair: Pair, found: Differences) -> bool:
    low = all(theirs & 0xFFFF_FFFF == mine for theirs, mine in found.values())
    return low and any(i.mnemonic.endswith("cmpxchg") for i in _decoder.disasm(pair.program.code, CODE))


def _rex_before_a_prefix(pair: Pair, _found: Differences) -> bool:
    return pair.program.kind == "raw" and _REX_THEN_PREFIX.search(pair.program.code) is not None


def _only_x87(_pair: Pair, found: Differences) -> bool:
    return all(_X87.fullmatch(name) for name in found)


EXCUSES = (
    Excuse("branch to nowhere", "QEMU faults at the target, the manual at the branch", _branch_to_nowhere),
    Excuse("unaligned vector", "Unicorn does not check the alignment of 16-byte operands", _unaligned),
    Excuse("stack", "QEMU has #GP for an address of the stack segment, the manual #SS", _stack),
    Excuse("undefined", "which encodings of no instruction are refused differs", _undefined),
    Excuse("CVTPS2PD", "Unicorn reads 16 bytes of its 8-byte operand", _reads_too_much),
    Excuse("torn load", "Unicorn has loaded half a vector when the other half faults", _torn_load),
    Excuse("LAHF, SAHF", "with a REX prefix Unicorn takes SPL for AH", _flags_to_ah),
    Excuse("flags", "random bytes are followed by nothing that defines undefined flags", _undefined_flags),
    Excuse("time", "RDTSC: the time since the machine was switched on", _time),
    Excuse(
        "narrow branch",
        "Unicorn cuts the target of a branch with 66H to 16 bits, the manual ignores it",
        _narrow_branch,
    ),
    Excuse("closed gate", "QEMU 7.2 says n*16+2 where the manual has n*8+2", _int_through_a_closed_gate),
    Excuse("INT1", "QEMU leaves to a debugger", _int1),
    Excuse("CMPPS", "bits 7:3 of its immediate are reserved; Unicorn refuses them", _reserved_comparison),
    Excuse("CMPXCHG", "a failed one leaves the upper half of a 32-bit destination in QEMU", _comparison_and_exchange),
    Excuse("REX", "QEMU obeys a REX prefix that another prefix follows; the manual ignores it", _rex_before_a_prefix),
    Excuse("x87, MMX", "Unicorn forgets x87 exceptions and switches to MMX before a fault", _only_x87),
)


def excuse(pair: Pair, found: Differences) -> Excuse | None:
    """The known difference that explains this one, or None."""
    return next((each for each in EXCUSES if each.applies(pair, found)), None)
