"""Commands that run an enclave or a kernel."""
