"""Key actions: step, search, set breakpoints, ask."""
