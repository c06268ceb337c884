"""A TPM 2.0 behind a Command Response Buffer: a model that runs in this process, and a connection to swtpm."""
