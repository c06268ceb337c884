"""Differences of the sample that are found, understood and not yet mended: each is a fault of ours.

A row goes when its fault is mended, and the sample says so. Nothing is ever added here to make a test pass.
"""

OPEN = frozenset(
    [
        "BTR: vector 6 expected, the emulator dies of signal 6 here",  # LOCK with a register
        "MOV: vector 6 expected, vector 13 here",  # CR1, CR5, CR6, CR7 in ring 3
        "RCPSS: vector 3 expected, vector 6 here",  # 66H before F3H
        "RET: RSP",  # the immediate is unsigned
        "ENTER: RBP",  # with 66H only BP changes
        "RETF: vector 14 expected, vector 13 here",  # the page fault of its stack comes first
        "EMMS: FSW, ST",  # TOP becomes 0
        "CVTTPD2PI: vector 13 expected, vector 14 here",  # alignment comes before the page fault
        "NEG: RFLAGS",  # with LOCK
        "18 /2 r: vector 3 expected, vector 6 here",  # a reserved NOP
    ]
)
"""As `Coverage.kinds` names them."""
