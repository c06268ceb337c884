"""Differences of the sample that are found, understood and not yet mended: each is a fault of ours.

A row goes when its fault is mended, and the sample says so. Nothing is ever added here to make a test pass.
"""

OPEN: frozenset[str] = frozenset()
"""As `Coverage.kinds` names them."""
