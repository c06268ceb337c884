"""The outcome of a run: its result in short, and residue in RAM."""
