"""The outcome of a run: its summarized result, and residue in RAM."""
