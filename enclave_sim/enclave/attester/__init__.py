"""Attestation in a run: the port, and the verifiers: built in, external, or replayed from a recording."""
