"""Compares the states in which one program ended on the host's processor and on our machine."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tests.machine.programs.program import Mode
from tests.oracle.enumeration.encoding import LOCK
from tests.oracle.enumeration.ends import PUSH_SELECTOR, either_end
from tests.oracle.enumeration.judges import BY_THE_MANUAL, GP, NOT_WITNESSED, PF, UD
from tests.oracle.enumeration.matching import ONE, TWO, any_of, at
from tests.oracle.enumeration.offered import lacking
from tests.oracle.enumeration.programs import Case
from tests.oracle.enumeration.tolerances import IN_PARTS, tolerated
from tests.oracle.enumeration.undefined import undefined
from tests.oracle.enumeration.witnesses import State
from tests.oracle.host_processor.records import CODE_64_SELECTOR

_FXSAVE = at(TWO, (0xAE,), 0, register=False)
_CALL = any_of(at(ONE, (0xE8,)), at(ONE, (0xFF,), 2))
_RETURN_ADDRESS, _SELECTOR, _DOUBLEWORD = 8, 2, 4
_POINTERS_AND_MASK = (*range(6, 24), *range(28, 32))
_MAX_SHOWN = 16

Difference = dict[str, tuple[object, object]]
"""Name: the witness's value and ours."""


@dataclass(frozen=True)
class Verdict:
    """The result of comparing one case."""

    witness: str
    """`host`, `manual`, or empty if nothing was compared."""
    reason: str
    """Why the host's processor does not decide."""
    difference: Difference


def judge(case: Case, host: State, ours: State, features: Collection[str]) -> Verdict:
    """Compare the two states, or ours with the manual if the host does not decide.

    `features` are those of the host's processor.
    """
    row = next((row for row in BY_THE_MANUAL if row.applies(case)), None)
    if row is not None:
        expected = UD if LOCK in case.form.prefixes else row.end
        found: Difference = {} if ours.end == expected else {"end": (expected, ours.end)}
        return Verdict("manual", f"{row.name}: {row.reason}", found)
    row = next((row for row in NOT_WITNESSED if row.applies(case)), None)
    if row is not None:
        return _not_compared(f"{row.name}: {row.reason}", ours)
    if case.form.mode == Mode.PROTECTED.value and host.values.get("CS") == CODE_64_SELECTOR:
        return _not_compared("33H names 16-bit code in protected mode, and 64-bit code on Linux", ours)
    lacks = lacking(case, features)
    if lacks is not None:
        return _not_compared(f"the host's processor has no {lacks}", ours)
    if host.end != ours.end and not either_end(case, host, ours):
        return Verdict("host", "", {"end": (host.end, ours.end)})
    if host.end == "limit" or host.end != ours.end:
        return Verdict("host", "", {})
    return Verdict("host", "", _differences(case, host, ours))


def _not_compared(reason: str, ours: State) -> Verdict:
    """The right end is unknown, but the emulator must survive."""
    broken = ours.end.startswith("the emulator")
    return Verdict("", reason, {"end": ("any", ours.end)} if broken else {})


def _differences(case: Case, host: State, ours: State) -> Difference:
    flags, no_result = undefined(case)
    found: Difference = {}
    for name in sorted(host.values.keys() | ours.values.keys()):
        theirs, mine = host.values.get(name, 0), ours.values.get(name, 0)
        if name == "RFLAGS":
            theirs, mine = theirs & ~flags, mine & ~flags
        if theirs != mine and not tolerated(case, host, name, theirs, mine):
            found[name] = (theirs, mine)
    theirs_memory, mine_memory = _compared_memory(case, host, ours)
    if theirs_memory != mine_memory and not no_result:
        found["memory"] = (_first(theirs_memory, mine_memory), _first(mine_memory, theirs_memory))
    return found


def _compared_memory(case: Case, host: State, ours: State) -> tuple[Mapping[int, int], Mapping[int, int]]:
    """The memory of both, without what processors store differently."""
    hidden: Collection[int] = ()
    if _FXSAVE(case) and (host.memory or ours.memory):  # AMD keeps the pointers only for unmasked exceptions
        start = min((*host.memory, *ours.memory)) & -16
        hidden = [start + offset for offset in _POINTERS_AND_MASK]
    elif _CALL(case) and host.end == GP:  # to an address that is not canonical: Intel pushes before it checks
        hidden = range(ours.values["RSP"] - _RETURN_ADDRESS, ours.values["RSP"])
    elif PUSH_SELECTOR(case):  # zero-extended or of 16 bits: either is right (volume 2, PUSH)
        hidden = range(ours.values["RSP"] + _SELECTOR, ours.values["RSP"] + _DOUBLEWORD)
    elif IN_PARTS(case) and host.end == PF:  # some parts may have been stored
        hidden = host.memory.keys() - ours.memory.keys()
    theirs, mine = ({at: value for at, value in one.memory.items() if at not in hidden} for one in (host, ours))
    return theirs, mine


def _first(one: Mapping[int, int], other: Mapping[int, int]) -> str:
    """The first bytes of `one` that differ from those of `other`."""
    differing = [address for address in sorted(one.keys() | other.keys()) if one.get(address) != other.get(address)]
    shown = (f"{one[address]:02x}" if address in one else "--" for address in differing[:_MAX_SHOWN])
    return " ".join(f"{address:x}:{value}" for address, value in zip(differing, shown, strict=False))
