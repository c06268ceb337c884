"""A recording as the source of a run that can be executed in both directions."""
