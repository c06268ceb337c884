"""The checks that a verdict consists of."""
