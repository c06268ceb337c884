"""Provenance: where a value came from, and where it went."""
