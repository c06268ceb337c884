"""Navigation in a run: steps, searches, breakpoints and conditions."""
