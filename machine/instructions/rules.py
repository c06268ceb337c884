"""This room's rules that are plain functions, by opcode."""

from machine.instructions.general import bit_manipulation, double_shifts, general, near_branch
from machine.instructions.simd import execution, masked_move, moves, ssse3, string_comparison, unpack

RULES = (
    *(bit_manipulation.RULES, double_shifts.RULES, general.RULES, masked_move.RULES, near_branch.RULES),
    *(execution.RULES, moves.RULES, ssse3.RULES, string_comparison.RULES, unpack.RULES),
)
"""Functions of processor and instruction, at most one per opcode."""
