"""`python -m enclave_sim` is `enclave-sim`."""

from enclave_sim.cli.main import main

if __name__ == "__main__":
    main()
