"""Watchers: look at the enclave while it runs, and note what they see."""
