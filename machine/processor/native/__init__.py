"""Hooks in native code: source, blobs, how they are built, and how they are loaded."""
