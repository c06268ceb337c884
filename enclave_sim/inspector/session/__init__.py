"""The run under inspection, and the thread that owns it."""
