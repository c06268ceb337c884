"""Fault-injection campaigns: faults as data, many runs of one enclave, and the outcome of each with its evidence.

from enclave_sim.campaigns import Bench, Injection, RegisterBits, AtInstruction

bench = Bench("beacon")
record = bench.run(Injection(RegisterBits("r14", 1 << 3), AtInstruction(bench.golden.start.instructions + 40)))
print(record.outcome, record.evidence)
"""

from typing import TYPE_CHECKING

from enclave_sim._lazy import lazily

if TYPE_CHECKING:
    from enclave_sim.campaigns.bench import Bench
    from enclave_sim.campaigns.faults import (
        AnyFault,
        AnyTrigger,
        AtAddress,
        AtEvent,
        AtInstruction,
        AtTime,
        Injection,
        InterruptStorm,
        MemoryBits,
        PartFault,
        PowerLoss,
        RegisterBits,
        StuckMemory,
        StuckRegister,
    )
    from enclave_sim.campaigns.outcomes import Outcome, Record

__all__ = [
    "AnyFault",
    "AnyTrigger",
    "AtAddress",
    "AtEvent",
    "AtInstruction",
    "AtTime",
    "Bench",
    "Injection",
    "InterruptStorm",
    "MemoryBits",
    "Outcome",
    "PartFault",
    "PowerLoss",
    "Record",
    "RegisterBits",
    "StuckMemory",
    "StuckRegister",
]
_HOMES = {**dict.fromkeys(__all__, "faults"), "Bench": "bench", "Outcome": "outcomes", "Record": "outcomes"}
__getattr__ = lazily(__name__, _HOMES)
