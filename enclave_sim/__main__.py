"""Runs the command line: `python -m enclave_sim` is the same as `enclave-sim`."""

from enclave_sim.cli.main import start

if __name__ == "__main__":
    start()
