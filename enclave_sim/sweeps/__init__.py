"""Exhaustive sweeps: one input at every instant of a run's life, judged by the guarantees.

from enclave_sim.sweeps import Arrival, Sweep

sweep = Sweep("beacon", kinds=[Arrival.TAMPER], window=range(1_385_000, 1_386_000))
print(sweep.run())
"""

from typing import TYPE_CHECKING

from enclave_sim._lazy import lazily

if TYPE_CHECKING:
    from enclave_sim.sweeps.outcomes import Arrival as Arrival
    from enclave_sim.sweeps.outcomes import Outcome as Outcome
    from enclave_sim.sweeps.outcomes import Table as Table
    from enclave_sim.sweeps.sweep import Sweep as Sweep

_HOMES = {"Arrival": "outcomes", "Outcome": "outcomes", "Table": "outcomes", "Sweep": "sweep"}
__all__ = sorted(_HOMES)  # noqa: PLE0605 - the keys are strings
__getattr__ = lazily(__name__, _HOMES)
