"""Judges: compare what was seen of runs, and report."""
