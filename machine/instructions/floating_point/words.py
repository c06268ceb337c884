"""Bits of the x87 control and status words (SDM volume 1, 8.1.3 and 8.1.5)."""

IE, DE, ZE, OE, UE, PE = (1 << bit for bit in range(6))
EXCEPTIONS = IE | DE | ZE | OE | UE | PE
"""The exception flags of the status word, and in the same bits the masks of the control word."""
SF, ES, BUSY = 1 << 6, 1 << 7, 1 << 15
C0, C1, C2, C3 = 1 << 8, 1 << 9, 1 << 10, 1 << 14
CONDITION = C0 | C1 | C2 | C3
TOP_SHIFT, TOP = 11, 7 << 11

STACK_UNDERFLOW, STACK_OVERFLOW = IE | SF, IE | SF | C1

PRECISIONS = (24, 64, 53, 64)
"""Bits of a significand by precision control. 01B is reserved; processors treat it as 11B."""
PRECISION_SHIFT, ROUNDING_SHIFT = 8, 10
NEAREST, DOWN, UP, TRUNCATE = range(4)
CONTROL_AFTER_FNINIT = 0x37F
CONTROL_WRITABLE, CONTROL_ONES = 0x1F3F, 0x40
