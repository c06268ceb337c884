"""The command line: `enclave-sim`."""
