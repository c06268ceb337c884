"""The checks that make up a verdict."""
