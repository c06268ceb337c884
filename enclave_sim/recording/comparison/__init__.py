"""Comparison of two recordings: the place where they diverge, and an alignment of the rest."""
