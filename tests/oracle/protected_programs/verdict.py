"""Judges a program by its three ends: two against one; if the witnesses differ, the manual decides. `EXCUSES` lists
what a witness does wrong, each entry with the section that says what is right. Sections are those of Intel's SDM.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.oracle.enumeration.encoding import LOCK, REP
from tests.oracle.enumeration.undefined import undefined
from tests.oracle.protected_programs.batch import Ended, State
from tests.oracle.protected_programs.forms import SystemForm

_ONE, _TWO = b"", b"\x0f"
_RF, _ACCESSED, _VECTOR_UD, _VECTOR_DB = 1 << 16, 1 << 8, 6, 1
_LIMIT_BITS = 0xF_0000
_PUSHES_SELECTOR = frozenset([*((_ONE, op) for op in (0x06, 0x0E, 0x16, 0x1E)), (_TWO, 0xA0), (_TWO, 0xA8)])
Difference = dict[str, tuple[int, int, int]]
"""Field: QEMU's value, Bochs's and ours."""


@dataclass(frozen=True)
class Excuse:
    """What a witness does wrong, or both (`both`); or what the manual leaves open (`either`)."""

    wrong: str
    """`QEMU`, `Bochs`, `both` or `either`."""
    what: str
    manual: str
    applies: Callable[[SystemForm, Ended, Difference], bool]


@dataclass(frozen=True)
class Verdict:
    """The result of one program."""

    witnesses: tuple[str, ...]
    """Those that our machine agrees with."""
    excuses: tuple[Excuse, ...]
    difference: Difference
    """Unexplained differences."""


def _at(escape: bytes, *opcodes: int) -> Callable[[SystemForm], bool]:
    return lambda form: form.escape == escape and form.opcode in opcodes


def _group(escape: bytes, opcodes: tuple[int, ...], extensions: tuple[int, ...]) -> Callable[[SystemForm], bool]:
    return lambda form: form.escape == escape and form.opcode in opcodes and form.extension in extensions


def _refused(ended: Ended, witness: str) -> bool:
    """Only the others have #UD."""
    states = {"QEMU": ended.qemu, "Bochs": ended.bochs}
    return all((state["vector"] == _VECTOR_UD) is (name != witness) for name, state in states.items())


def _lock(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    return LOCK in form.prefixes and _refused(ended, "QEMU")


def _extension(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    group = _group(_ONE, (0x8F, 0xC6, 0xC7), tuple(range(1, 8)))
    return group(form) and _refused(ended, "QEMU")


def _reserved_test(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    return _group(_ONE, (0xF6, 0xF7), (1,))(form) and _refused(ended, "Bochs")


def _interrupt_1(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    return _at(_ONE, 0xF1)(form) and ended.bochs["vector"] == _VECTOR_DB


def _inhibits(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    loads = _at(_ONE, 0xFB)(form) or _at(_TWO, 0xB2)(form)
    return loads and ended.bochs["vector"] == _VECTOR_DB != ended.qemu["vector"]


def _last_iteration(form: SystemForm, ended: Ended, found: Difference) -> bool:
    return (
        REP in form.prefixes and ended.qemu["vector"] == ended.bochs["vector"] == _VECTOR_DB and set(found) == {"EIP"}
    )


def _accessed(_form: SystemForm, _ended: Ended, found: Difference) -> bool:
    descriptors = all(name.startswith(("GDT", "LDT[")) for name in found)
    return descriptors and all(theirs | _ACCESSED == third for theirs, third, _ in found.values())


def _null_task(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    return _group(_TWO, (0x00,), (3,))(form) and ended.bochs["vector"] == 13 and ended.bochs["error code"] == 0


def _control(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    return _at(_TWO, 0x22, 0x30, 0x32)(form) and ended.bochs["vector"] == 13 != ended.qemu["vector"]


def _conforming_level(_form: SystemForm, _ended: Ended, found: Difference) -> bool:
    return set(found) == {"CS"} and all(theirs | 3 == third for theirs, third, _ in found.values())


def _selector_push(form: SystemForm, _ended: Ended, found: Difference) -> bool:
    narrow = all(name.startswith("stack") and (a ^ b) & 0xFFFF == 0 for name, (a, b, _) in found.items())
    return (form.escape, form.opcode) in _PUSHES_SELECTOR and narrow


def _access_rights(form: SystemForm, _ended: Ended, found: Difference) -> bool:
    return _at(_TWO, 0x02)(form) and all((a ^ b) & ~_LIMIT_BITS == 0 for a, b, _ in found.values())


def _no_such_control_register(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    return _at(_TWO, 0x20, 0x22)(form) and {ended.qemu["vector"], ended.bochs["vector"]} == {13, _VECTOR_UD}


def _counts_zeros(form: SystemForm, _ended: Ended, _found: Difference) -> bool:
    return _at(_TWO, 0xBC, 0xBD)(form) and REP in form.prefixes


def _prefetch(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    return _at(_TWO, 0x0D, 0x18)(form) and form.register and _refused(ended, "Bochs")


def _undefined_result(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    return undefined(ended.case.as_case)[1]


def _no_source(form: SystemForm, ended: Ended, _found: Difference) -> bool:
    return _at(_TWO, 0xBC, 0xBD)(form) and bool(ended.ours["EFLAGS"] & 1 << 6)


def _between_iterations(form: SystemForm, ended: Ended, found: Difference) -> bool:
    trapped = {ended.qemu["vector"], ended.bochs["vector"], ended.ours["vector"]} == {_VECTOR_DB}
    return REP in form.prefixes and trapped and set(found) == {"RF"} and bool(ended.ours["EFLAGS"] & _RF)


EXCUSES = (
    Excuse("QEMU", "LOCK is accepted", "#UD but for some instructions that write memory (volume 2, LOCK)", _lock),
    Excuse("QEMU", "8F, C6, C7 with /1 to /7 are executed", "#UD (volume 2, table A-6, groups 1A and 11)", _extension),
    Excuse("QEMU", "F1 leaves to a debugger", "INT1 is #DB (volume 2, INT n)", _interrupt_1),
    Excuse(
        "QEMU",
        "after STI or LSS the single-step trap is lost",
        "#DB after it, or the next one (volume 3, 18.3.1.4)",
        _inhibits,
    ),
    Excuse(
        "QEMU",
        "REP has one single-step trap too many",
        "RIP is after it after the last iteration (volume 3, 18.3.1.4)",
        _last_iteration,
    ),
    Excuse(
        "QEMU", "a far transfer leaves the descriptor's accessed bit", "set by each load (volume 3, 3.4.5.1)", _accessed
    ),
    Excuse("QEMU", "LTR of a null selector is accepted", "#GP(0) (volume 2, LTR)", _null_task),
    Excuse(
        "QEMU",
        "reserved bits of CR0 and CR4, and unknown MSRs, are accepted",
        "#GP(0) (volume 2, MOV to CR, RDMSR, WRMSR)",
        _control,
    ),
    Excuse(
        "QEMU",
        "a call through a gate to conforming code has RPL 0",
        "the RPL is CPL (volume 2, CALL)",
        _conforming_level,
    ),
    Excuse(
        "QEMU", "F6 and F7 with /1 are #UD", "reserved, and not refused (volume 2, table A-6, group 3)", _reserved_test
    ),
    Excuse(
        "Bochs",
        "no LZCNT nor TZCNT: the generic processor has BMI only with VEX",
        "offered here (volume 2, LZCNT, TZCNT)",
        _counts_zeros,
    ),
    Excuse(
        "both",
        "RF is 0 when a trap comes between two iterations",
        "the value pushed is 1 (volume 3, 18.3.1.1)",
        _between_iterations,
    ),
    Excuse("either", "PREFETCH of a register", "#UD for AMD; Intel's reserved NOP (volume 2, table A-6)", _prefetch),
    Excuse(
        "either", "PUSH of a segment register writes 16 bits or 32", "both are allowed (volume 2, PUSH)", _selector_push
    ),
    Excuse("either", "LAR gives bits 19:16 of the descriptor", "undefined (volume 2, LAR)", _access_rights),
    Excuse(
        "either",
        "MOV CR1 and the like outside ring 0 is #UD or #GP",
        "the order is not specified (volume 2, MOV CR)",
        _no_such_control_register,
    ),
    Excuse("either", "BSWAP of 16 bits, shifts by too much", "the result is undefined (volume 2)", _undefined_result),
    Excuse("either", "BSF, BSR of 0", "the destination is undefined (volume 2, BSF, BSR)", _no_source),
)


def judge(ended: Ended) -> Verdict:
    """Compare the three states of a program."""
    found = _differences(ended)
    if not found:
        return Verdict(("QEMU", "Bochs"), (), {})
    used = tuple(each for each in EXCUSES if each.applies(ended.case.form, ended, found))[:1]
    agreeing = tuple(
        name for name, index in (("QEMU", 0), ("Bochs", 1)) if all(row[index] == row[2] for row in found.values())
    )
    explained = bool(used) and _explains(used[0], agreeing)
    return Verdict(agreeing, used, {} if explained else found)


def _explains(excuse: Excuse, agreeing: tuple[str, ...]) -> bool:
    """Whether the machine that an entry finds wrong is alone."""
    return excuse.wrong in ("both", "either") or (bool(agreeing) and excuse.wrong not in agreeing)


def _differences(ended: Ended) -> Difference:
    """Fields that are not equal on all three. If the ends differ, other differences follow from that."""
    flags, _ = undefined(ended.case.as_case)
    found: Difference = {}
    ends = {state["vector"] for state in (ended.qemu, ended.bochs, ended.ours)}
    for name in ended.ours if len(ends) == 1 else ("vector", "error code", "EIP"):
        row = ended.qemu[name], ended.bochs[name], ended.ours[name]
        if name == "EFLAGS":  # QEMU never sets RF in the flags that an exception saves (docs/oracle.md)
            row = _flags(ended.qemu, flags | _RF), _flags(ended.bochs, flags | _RF), _flags(ended.ours, flags | _RF)
            if _flags(ended.bochs, 0) & _RF != _flags(ended.ours, 0) & _RF:
                found["RF"] = row
        if not row[0] == row[1] == row[2]:
            found[name] = row
    return found


def _flags(state: State, undefined_flags: int) -> int:
    return state["EFLAGS"] & ~undefined_flags
