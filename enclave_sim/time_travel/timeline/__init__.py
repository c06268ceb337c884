"""A run with snapshots along it, by which any position can be reached again."""
