"""Hypothesis strategies for property-based tests of the enclave.

They need Hypothesis, which is in the extra `testing`.
"""

from enclave_sim.errors import installing

try:
    import hypothesis as _hypothesis  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "hypothesis":
        raise
    raise ImportError(f"enclave_sim.strategies needs Hypothesis: {installing('testing')}") from None

from enclave_sim.strategies.configurations import configurations
from enclave_sim.strategies.inputs import host_answers, inputs_after, interrupt_schedules, memory_faults
from enclave_sim.strategies.life_cycle import LifeCycle, life_cycle
from enclave_sim.strategies.malformed_modules import DefectiveModule, malformed_modules
from enclave_sim.strategies.wasm.guests import WasmGuest, wasm_guests
from enclave_sim.strategies.x86.machine_code import InstructionSequence, instruction_sequences, machine_code

__all__ = [
    "DefectiveModule",
    "InstructionSequence",
    "LifeCycle",
    "WasmGuest",
    "configurations",
    "host_answers",
    "inputs_after",
    "instruction_sequences",
    "interrupt_schedules",
    "life_cycle",
    "machine_code",
    "malformed_modules",
    "memory_faults",
    "wasm_guests",
]
