"""Watchers: they inspect the running enclave, and keep their findings."""
