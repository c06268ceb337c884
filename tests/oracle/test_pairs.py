"""The report adds up the results of both surveys."""

from tests.oracle import pairs

USER = {
    "forms": {"64 host": 5, "64 manual": 2, "protected32 host": 3},
    "by_manual": {"SHA: CPUID says no": 2},
    "not_compared": {"64 0F.00 /0 m": "Linux answers"},
    "differences": [],
}
PROTECTED = {
    "forms": {"ring 0, 16 bits: QEMU, Bochs": 7, "ring 3, 32 bits: Bochs": 1},
    "not_compared": {f"ring 0: {number:02X}": "ends the run" for number in range(5)},
    "differences": [],
}


def test_pairs_are_counted_by_witness() -> None:
    assert pairs.witnesses(USER) == {"the host's processor": 8, "the manual alone": 2}
    assert pairs.witnesses(PROTECTED) == {"QEMU, Bochs": 7, "Bochs": 1}


def test_every_pair_that_was_not_compared_has_its_reason() -> None:
    text = pairs.report({"user": USER, "protected": PROTECTED}, every=False)
    assert "user: 11 pairs" in text
    assert "Linux answers" in text
    assert "SHA: CPUID says no" in text
    assert "ring 0: 04" not in text
    assert "ring 0: 04" in pairs.report({"protected": PROTECTED}, every=True)
