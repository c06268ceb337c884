"""Attestation as a run sees it: the port, and the verifiers: built in, external, or the answers of a recording."""
