"""What the keys do: step, search, set breakpoints, ask."""
