"""Inputs of a run: read from scripts, checked, scheduled, and applied to the enclave."""
