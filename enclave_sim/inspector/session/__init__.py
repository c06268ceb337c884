"""The run under inspection, and what it is opened from."""
