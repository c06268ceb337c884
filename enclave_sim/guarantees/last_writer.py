"""Finds the last writer of leftover bytes, by searching a repetition of the run backwards."""

from enclave_sim.guarantees.observation import Scenario
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.travel import Travel
from machine.errors import MachineError


def describe_last_writer(scenario: Scenario, base: int, length: int) -> str:
    """Describe the last write to `length` bytes of physical memory before the end of the run."""
    try:
        run = Travel(scenario.enclave)
        run.resume(None if scenario.limit_ns is None else Position(scenario.limit_ns))
        write = run.last_write(base, length)
    except MachineError as error:  # a TPM in another process cannot go back
        return f"who wrote it last cannot be found: {error}"
    return "not written during the run: the loader left it so" if write is None else str(write)
