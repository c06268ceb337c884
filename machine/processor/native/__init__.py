"""Hooks in native code: their sources, the built blobs, and how to build and load them."""
