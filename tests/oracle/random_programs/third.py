"""Compares QEMU and Bochs with our machine on a program."""

from dataclasses import dataclass

from tests.oracle.random_programs.alone import BOCHS_ALONE, QEMU_ALONE, Excuse, is_open
from tests.oracle.random_programs.batch import Pair
from tests.oracle.random_programs.verdict import Differences, differences, excuse, third_differences


@dataclass(frozen=True)
class Judgement:
    """The result of one program."""

    excuses: tuple[str, ...]
    """Names of the entries that explain who is wrong."""
    differs: bool
    """Something is not explained."""


def _against_both(pair: Pair, of_qemu: Differences, of_bochs: Differences) -> bool:
    """The witnesses ended at the same place with a value that differs from ours."""
    if pair.bochs is None or pair.bochs.named["RIP"] != pair.qemu.named["RIP"]:
        return False
    return any(of_qemu[name][0] == of_bochs[name][0] for name in of_qemu.keys() & of_bochs.keys())


def judge(pair: Pair) -> Judgement:
    """Compare our machine with both witnesses. If they agree, only what the manual leaves open is excused."""
    of_qemu, of_bochs = differences(pair), third_differences(pair)
    names: list[str] = []
    against_both = _against_both(pair, of_qemu, of_bochs)
    explained = not against_both or is_open(pair, of_bochs)
    if of_qemu:
        known = excuse(pair, of_qemu)
        alone = next((each for each in QEMU_ALONE if each.applies(pair, of_qemu)), None)
        name = known.name if known else alone.name if alone else ""
        names.append(f"QEMU: {name}")
        explained = explained and bool(name)
    if of_bochs:
        third = third_excuse(pair, of_bochs)
        names.append(f"Bochs: {third.name if third else ''}")
        explained = explained and third is not None
    return Judgement(tuple(names), not explained)


def third_excuse(pair: Pair, found: Differences) -> Excuse | None:
    """The known difference that explains this one, or None."""
    return next((each for each in BOCHS_ALONE if each.applies(pair, found)), None)
