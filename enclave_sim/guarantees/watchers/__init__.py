"""Watchers: they inspect the enclave while it runs, and keep what they find."""
