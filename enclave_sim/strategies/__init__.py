"""Hypothesis strategies for enclaves."""

from enclave_sim.strategies.inputs import host_answers, interrupt_schedules, memory_faults
from enclave_sim.strategies.life_cycle import LifeCycle, life_cycle

__all__ = ["LifeCycle", "host_answers", "interrupt_schedules", "life_cycle", "memory_faults"]
