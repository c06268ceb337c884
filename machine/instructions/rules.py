"""The rules of this folder by opcode."""

from machine.instructions import (
    bit_manipulation,
    double_shifts,
    general,
    masked_move,
    near_branch,
    simd_execution,
    simd_moves,
    ssse3,
    string_comparison,
)

RULES = (
    *(bit_manipulation.RULES, double_shifts.RULES, general.RULES, masked_move.RULES, near_branch.RULES),
    *(simd_execution.RULES, simd_moves.RULES, ssse3.RULES, string_comparison.RULES),
)
"""A rule is a function of the processor and the instruction; each opcode has one."""
