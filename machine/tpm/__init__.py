"""A TPM 2.0 for the Command Response Buffer device: a model in this process, and a connection to swtpm."""
