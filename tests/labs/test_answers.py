"""Answers in TOML."""

from enclave_sim.labs.answers import Answers
from enclave_sim.labs.lab import ANSWERS


def test_a_number_with_commas_is_named_as_the_cause() -> None:
    """As `events` prints it."""
    assert "without commas: 1234567" in Answers({ANSWERS: b"[time]\nhalted = 6,110,909\n"}).problem
    assert "commas" not in Answers({ANSWERS: b"[time]\nhalted = \n"}).problem
