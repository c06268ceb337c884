"""Builds the native code of the guest engines: `python -m enclave_sim.enclave.engine.native.build`."""

from pathlib import Path

from enclave_sim.enclave.engine.native import ENTRY_POINTS
from machine.processor.native.build import write

HERE = Path(__file__).parent

if __name__ == "__main__":
    write(HERE, ENTRY_POINTS)
