"""What a run left behind: its result in short, and residue in RAM."""
