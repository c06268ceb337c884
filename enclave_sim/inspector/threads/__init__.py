"""The threads of the inspector: one owns the run and makes its views, the other verifies."""
