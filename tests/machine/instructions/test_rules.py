"""Each instruction that the machine executes has one rule."""

from collections import Counter

from machine.instructions.rules import RULES


def test_no_opcode_has_two_rules() -> None:
    assert [
        opcode for opcode, count in Counter(opcode for rules in RULES for opcode in rules).items() if count > 1
    ] == []
