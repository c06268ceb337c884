"""Exceptions and interrupts, case by case, on Bochs and on our machine: the third witness."""

from dataclasses import replace

import pytest

from tests.oracle import bochs, ours, suite
from tests.oracle.disputes import DISPUTES, NOT_OFFERED, UNTIMED, Witness, dispute, verdict

WITNESS: Witness = "Bochs"
THEMES = [theme for theme in suite.THEMES if theme not in suite.ONE_BY_ONE | UNTIMED[WITNESS]]


def lines(theme: str, serial: list[str]) -> dict[str, list[str]]:
    """What the handlers printed, by case."""
    found: dict[str, list[str]] = {name: [] for name in suite.names(suite.image(theme))}
    for line in serial:
        found[line.partition(" ")[0]].append(line)
    return found


@pytest.mark.parametrize("theme", THEMES)
def test_every_case_is_as_on_bochs(theme: str) -> None:
    image = suite.image(theme)
    theirs = bochs.run(image, "over")
    assert theirs.end == "halted"
    pairs = zip(lines(theme, theirs.lines).items(), lines(theme, ours.run(image).lines).values(), strict=True)
    found = [
        verdict(name, WITNESS, "\n".join(one), "\n".join(other))
        for (name, one), other in pairs
        if not NOT_OFFERED[WITNESS].fullmatch(name)
    ]
    assert not any(found), "\n\n".join(filter(None, found))


@pytest.mark.parametrize("theme", sorted(suite.ONE_BY_ONE))
def test_third_fault_shuts_down_as_on_bochs(theme: str) -> None:
    names = suite.names(suite.image(theme))
    ends = {name: bochs.run(suite.image(theme, index), "over").end for index, name in enumerate(names)}
    assert ends == dict.fromkeys(names, "shutdown")


def test_every_entry_of_the_table_is_about_some_case() -> None:
    names = {name for theme in suite.THEMES for name in suite.names(suite.image(theme))}
    used = {entry for name in names for entry in (dispute(name, "QEMU"), dispute(name, "Bochs"))}
    assert used - {None} == set(DISPUTES)
    assert all("(volume " in each.manual for each in DISPUTES)


def test_an_image_that_the_rom_cannot_hold_is_refused() -> None:
    image = suite.image("control")
    with pytest.raises(bochs.BochsError, match="bytes; at most"):
        bochs.run(replace(image, modules=(("much", b"\1" * (2 << 20)),)), "over")


def test_an_answer_that_nothing_excuses_is_reported() -> None:
    assert verdict("some_case_r0", WITNESS, "one", "other") == "some_case_r0\nBochs one\nours other"
    assert "must go" in verdict("iretl_same_ring_r0", WITNESS, "one", "one")
    assert verdict("iretl_same_ring_r0", WITNESS, "one", "other") == ""
    assert verdict("some_case_r0", WITNESS, "one", "one") == ""
