"""Tables of what one witness alone does wrong, or differently if both may be right, with the manual's sections.
`verdict.py` has what was known of QEMU before the third witness. Sections are those of Intel's SDM.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import capstone

from machine.architecture.paging import is_canonical
from tests.oracle.random_programs.batch import Pair
from tests.oracle.random_programs.layout import CODE, VECTOR_TIMER
from tests.oracle.random_programs.verdict import Differences, instruction_at, third_differences

_LIMIT_BITS = 0xF_0000
_LEAVE = b"\xc9"
_UD, _SS, _GP, _PF, _WRITE = 6, 12, 13, 14, 2
_HORIZONTAL = frozenset("haddps haddpd hsubps hsubpd addsubps addsubpd".split())
_TWO_SEGMENTS = re.compile(rb"[\x26\x2e\x36\x3e\x64\x65][\x66\x67\xf0\xf2\xf3]*[\x26\x2e\x36\x3e\x64\x65]")
_SHIFT_BY_64 = re.compile(rb"\x0f\x73[\xd0-\xd7]\x40", re.DOTALL)
_PREFIXES = rb"[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf0\xf2\xf3]*"


def _group(extensions: tuple[int, ...]) -> bytes:
    """A class of ModRM bytes with these values of the reg field."""
    found = (mode | extension << 3 | low for mode in (0, 64, 128, 192) for extension in extensions for low in range(8))
    return b"[" + b"".join(b"\\x%02x" % byte for byte in found) + b"]"


_RESERVED = re.compile(
    _PREFIXES + b"(?:[\\xf6\\xf7]" + _group((1,)) + b"|[\\xc0\\xc1\\xd0-\\xd3]" + _group((6,)) + b")", re.DOTALL
)
_NARROW_TABLE_STORE = re.compile(b"\\x66" + _PREFIXES + b"\\x0f\\x01" + _group((0, 1)), re.DOTALL)
_NARROW_BRANCH = re.compile(
    b"\\x66" + _PREFIXES + b"(?:\\xff" + _group((2, 4)) + rb"|[\xc2\xc3\xe8\xe9\x70-\x7f]|\x0f[\x80-\x8f])", re.DOTALL
)
_PREFETCH_REGISTER = re.compile(rb"\x0f\x0d[\xc0-\xff]|\x0f\x18[\xc0-\xff]", re.DOTALL)
_decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
_UNDEFINED = frozenset(
    "and or xor test bsf bsr bt btc btr bts mul imul div idiv shl sal shr sar shld shrd rol ror rcl rcr".split()
)
"""Instructions that leave flags undefined, some of them for some counts."""
_NOT_OFFERED = frozenset(["lzcnt", "tzcnt"])
_APPROXIMATE = frozenset("rcpss rcpps rsqrtss rsqrtps".split())


@dataclass(frozen=True)
class Excuse:
    """One known difference, with what is right."""

    name: str
    manual: str
    applies: Callable[[Pair, Differences], bool]


def _mnemonics(pair: Pair) -> frozenset[str]:
    """Words of the program's instructions; capstone does not know some with F2H, which has no effect on them."""
    return frozenset(
        word
        for instruction in pair.program.instructions
        for code in (instruction, instruction.replace(b"\xf2\x0f", b"\x0f"))
        for _, _, mnemonic, _ in _decoder.disasm_lite(code, CODE)
        for word in mnemonic.split()
    )


def _has(names: frozenset[str]) -> Callable[[Pair, Differences], bool]:
    return lambda pair, _found: bool(names & _mnemonics(pair))


def _access_rights(pair: Pair, found: Differences) -> bool:
    return "lar" in _mnemonics(pair) and all((a ^ b) & ~_LIMIT_BITS == 0 for a, b in found.values())


def _narrow_leave(pair: Pair, _found: Differences) -> bool:
    return any(b"\x66" in code[:-1] and code.endswith(_LEAVE) for code in pair.program.instructions)


def _repeated_prefixes(pair: Pair, _found: Differences) -> bool:
    return pair.program.kind == "raw" and _TWO_SEGMENTS.search(pair.program.code) is not None


def _torn_store(pair: Pair, found: Differences) -> bool:
    """SGDT or SIDT that faults in the middle."""
    return (
        pair.ours.named["vector"] == _PF
        and bool({"sgdt", "sidt"} & _mnemonics(pair))
        and _only(("data", "stack"), found)
    )


def _shift_by_64(pair: Pair, found: Differences) -> bool:
    return _SHIFT_BY_64.search(pair.program.code) is not None and _only(("XMM",), found)


def _at_end(pair: Pair, pattern: "re.Pattern[bytes]") -> bool:
    """The instruction at which one of the two ended."""
    assert pair.bochs is not None
    offsets = (max(0, state.named["RIP"] - CODE) for state in (pair.bochs, pair.ours))
    return any(pattern.match(pair.program.code[offset:]) for offset in offsets)


def _prefetch(pair: Pair, _found: Differences) -> bool:
    return _PREFETCH_REGISTER.search(pair.program.code) is not None


def _extended_segment(pair: Pair, _found: Differences) -> bool:
    return _at_end(pair, re.compile(rb"[\x44-\x47\x4c-\x4f][\x8c\x8e]"))


def _amd(pair: Pair, _found: Differences) -> bool:
    return _at_end(pair, re.compile(_PREFIXES + rb"\x0f[\x0e\x0f]")) or b"\x0f\x0e" in pair.program.code


def _only(names: tuple[str, ...], found: Differences) -> bool:
    return all(name.startswith(names) for name in found)


def is_open(pair: Pair, found: Differences) -> bool:
    """Whether the manual leaves open where both witnesses differ from our machine."""
    return _torn_store(pair, found) or "cpuid" in _mnemonics(pair)


def _enter(pair: Pair, _found: Differences) -> bool:
    found = instruction_at(pair, pair.ours.named["RIP"])
    return "enter" in _mnemonics(pair) or (found is not None and found.mnemonic == "enter")


def _narrow_swap(pair: Pair, _found: Differences) -> bool:
    return re.search(rb"\x66" + _PREFIXES + rb"\x0f[\xc8-\xcf]", pair.program.code) is not None


def _pushed_by_call(pair: Pair, found: Differences) -> bool:
    at = instruction_at(pair, pair.ours.named["RIP"])
    return pair.ours.named["vector"] == _GP and at is not None and "call" in at.mnemonic and _only(("stack",), found)


BOCHS_ALONE = (
    Excuse("CALL", "#GP(0) of a target that is not canonical comes before the push (volume 2, CALL)", _pushed_by_call),
    Excuse("PSRLQ", "a shift by 64 gives 0 (volume 2, PSRLQ)", _shift_by_64),
    Excuse("torn store", "which part of a store is done before its fault is not said (volume 2, SGDT)", _torn_store),
    Excuse("prefixes", "two of one group have no defined meaning (volume 2, 2.1.1)", _repeated_prefixes),
    Excuse("CPUID", "what a processor says of itself is not the same of all", _has(frozenset(["cpuid"]))),
    Excuse("PREFETCH", "of a register: #UD for AMD, Intel's reserved NOP (volume 2, table A-6)", _prefetch),
    Excuse("REX.R", "ignored where the reg field names a segment register (volume 2, 2.2.1.2)", _extended_segment),
    Excuse("3DNow!", "not offered: #UD; this Bochs's processor has it", _amd),
    Excuse("LZCNT, TZCNT", "not in this Bochs's processor, which has BMI by VEX alone", _has(_NOT_OFFERED)),
    Excuse("LAR", "bits 19:16 of the result are undefined (volume 2, LAR)", _access_rights),
    Excuse("RCPPS, RSQRTPS", "an error of 1.5 * 2^-12 is allowed (volume 2, RCPPS, RSQRTPS)", _has(_APPROXIMATE)),
    Excuse("LEAVE", "66H makes it pop 16 bits in 64-bit mode, too (volume 2, LEAVE)", _narrow_leave),
    Excuse("undefined flags", '(volume 2, "Flags Affected"), and what is made of them', _has(_UNDEFINED)),
)


def _read_modify_write(_pair: Pair, found: Differences) -> bool:
    """Including what an earlier MMX instruction made of x87 registers, in which QEMU differs (`verdict.py`)."""
    names = {name for name in found if not name.startswith("ST")}
    return names == {"error_code"} and found["error_code"][0] | _WRITE == found["error_code"][1]


def _alignment(pair: Pair, _found: Differences) -> bool:
    at = instruction_at(pair, pair.ours.named["RIP"])
    wide = at is not None and any(o.type == capstone.CS_OP_MEM and o.size == 16 for o in at.operands)
    return wide and (pair.ours.named["vector"], pair.ours.named["error_code"]) == (_GP, 0)


def _reserved(pair: Pair, _found: Differences) -> bool:
    """QEMU refuses the reserved encodings of TEST and SHL; what follows is left out."""
    offset = pair.qemu.named["RIP"] - CODE
    return pair.qemu.named["vector"] == _UD and _RESERVED.match(pair.program.code[max(0, offset) :]) is not None


def _table_store(pair: Pair, found: Differences) -> bool:
    """Including an INT n whose error code QEMU gets wrong, too (`verdict.py`)."""
    return _NARROW_TABLE_STORE.search(pair.program.code) is not None and _only(("data", "stack", "error_code"), found)


def _branch_with_66(pair: Pair, _found: Differences) -> bool:
    return _NARROW_BRANCH.search(pair.program.code) is not None


def _locked(pair: Pair, _found: Differences) -> bool:
    offset = pair.ours.named["RIP"] - CODE
    return pair.ours.named["vector"] == _UD and b"\xf0" in pair.program.code[max(0, offset) :][:4]


def _null_selectors(_pair: Pair, found: Differences) -> bool:
    return set(found) <= {"DS", "ES", "FS", "GS"} and all(theirs < 4 and not mine for theirs, mine in found.values())


def _no_control_register(pair: Pair, found: Differences) -> bool:
    return found.get("vector") == (_GP, _UD) and bool({"mov"} & _mnemonics(pair)) and b"\x0f\x20" in pair.program.code


def _nans(pair: Pair, found: Differences) -> bool:
    """The sign and payload of NaNs, and the result of HADDPS and the like for two."""
    if _HORIZONTAL & _mnemonics(pair):
        return _only(("XMM", "data", "stack"), found)
    return _only(("XMM",), found) and all(_is_nan(theirs ^ mine, mine) for theirs, mine in found.values())


def _is_nan(different: int, value: int) -> bool:
    """Whether every quadword that differs is a NaN or holds one."""
    words = ((different >> at & (1 << 64) - 1, value >> at) for at in (0, 64))
    return all(
        not changed or word >> 52 & 0x7FF == 0x7FF or word >> 23 & 0xFF == 0xFF or word >> 55 & 0xFF == 0xFF
        for changed, word in words
    )


def _relative_shift(pair: Pair, _found: Differences) -> bool:
    return re.search(rb"\x0f[\xa4\xac][\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", pair.program.code, re.DOTALL) is not None


def _null_stack(pair: Pair, _found: Differences) -> bool:
    offset = pair.ours.named["RIP"] - CODE
    ended = pair.ours.named["vector"], pair.ours.named["error_code"]
    return ended == (_GP, 0) and pair.program.code[max(0, offset) :][:1] == b"\x8e"


def _stack_pointer(pair: Pair, found: Differences) -> bool:
    return found.get("vector") == (_PF, _SS) and not is_canonical(pair.ours.named["RSP"])


def _flush(pair: Pair, _found: Differences) -> bool:
    at = instruction_at(pair, pair.ours.named["RIP"])
    return pair.ours.named["vector"] == _PF and at is not None and at.mnemonic == "clflush"


def _not_decided(pair: Pair, _found: Differences) -> bool:
    """Undefined flags in which Bochs differs again, or says nothing."""
    assert pair.bochs is not None
    says_nothing = VECTOR_TIMER in (pair.bochs.named["vector"], pair.ours.named["vector"])
    return (says_nothing or bool(third_differences(pair))) and bool(_UNDEFINED & _mnemonics(pair))


QEMU_ALONE = (
    Excuse("read-modify-write", "a page fault has W = 1 (volume 3, 4.7): the operand is written", _read_modify_write),
    Excuse("alignment", "#GP(0) for 16-byte operands (volume 2, 2.4, types 1, 2 and 4)", _alignment),
    Excuse("reserved encodings", "F6, F7 /1 and D0 to D3 /6 are not refused (volume 2, table A-6)", _reserved),
    Excuse("SGDT, SIDT", "they store ten bytes in 64-bit mode, with 66H, too (volume 2, SGDT)", _table_store),
    Excuse("near branches", "66H is ignored in 64-bit mode (volume 2, CALL, JMP, RET)", _branch_with_66),
    Excuse("MOV SS", "of a null selector whose RPL is not CPL: #GP(0) (volume 2, MOV)", _null_stack),
    Excuse("RSP", "that is not canonical: #SS(0) (volume 1, 3.3.7.1)", _stack_pointer),
    Excuse("CPUID", "what a processor says of itself is not the same of all", _has(frozenset(["cpuid"]))),
    Excuse("SHLD, SHRD", "RIP after the immediate is the base of the address (volume 2, 2.2.1.6)", _relative_shift),
    Excuse("ENTER", "a page fault of its last probe leaves RSP and RBP (volume 2, ENTER)", _enter),
    Excuse("BSWAP", "of 16 bits the result is undefined (volume 2, BSWAP)", _narrow_swap),
    Excuse("CLFLUSH", "faults as a load does (volume 2, CLFLUSH)", _flush),
    Excuse("null selectors", "IRET to an outer ring makes them 0 (volume 2, IRET)", _null_selectors),
    Excuse("MOV CR1", "#UD and #GP are both possible (volume 2, MOV CR)", _no_control_register),
    Excuse("NaN", "of two the first operand's is the result (volume 1, table 4-7)", _nans),
    Excuse("RCPPS, RSQRTPS", "an error of 1.5 * 2^-12 is allowed (volume 2, RCPPS, RSQRTPS)", _has(_APPROXIMATE)),
    Excuse("torn store", "which part of a store is done before its fault is not said (volume 2, SGDT)", _torn_store),
    Excuse("undefined flags", '(volume 2, "Flags Affected"), and what is made of them', _not_decided),
    Excuse("LOCK", "#UD but for some instructions that write memory (volume 2, LOCK)", _locked),
)
"""What QEMU does wrong while Bochs and our machine agree, in addition to `verdict.EXCUSES`."""
