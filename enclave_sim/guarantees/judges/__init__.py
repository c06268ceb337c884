"""Judges: compare observations of runs, and report."""
