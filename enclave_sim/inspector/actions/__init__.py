"""Actions of the keys: step, search, set breakpoints, ask."""
