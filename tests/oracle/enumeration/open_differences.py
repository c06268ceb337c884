"""Differences of the sample that are found, understood and not yet mended: each is a fault of ours.

A row goes when its fault is mended, and the sample says so. Nothing is ever added here to make a test pass.
"""

OPEN = frozenset(
    [
        "BTR: memory",  # LOCK with a register: machine/untranslatable.py replaces the opcode in memory
    ]
)
"""As `Coverage.kinds` names them."""
