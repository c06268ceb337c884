"""Answers in TOML."""

from enclave_sim.labs.answers import Answers
from enclave_sim.labs.lab import ANSWERS


def test_a_byte_order_mark_is_no_part_of_the_answers() -> None:
    """As some editors write it."""
    answers = Answers({ANSWERS: b"\xef\xbb\xbf[rings]\nentries = 7\n"})
    assert (answers.problem, answers.get("rings", "entries")) == ("", 7)


def test_a_number_with_commas_is_named_as_the_cause() -> None:
    """As `events` prints it."""
    assert "without commas: 1234567" in Answers({ANSWERS: b"[time]\nhalted = 6,110,909\n"}).problem
    assert "commas" not in Answers({ANSWERS: b"[time]\nhalted = \n"}).problem
