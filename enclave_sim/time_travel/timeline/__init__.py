"""A run with snapshots along it, from which any position can be reached again."""
