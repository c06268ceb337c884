"""The base of all watchers. A watcher gets every event as it happens, and inspects the machine at that moment.

At events from a device (a scrub, the end of a cycle) the processor is in the middle of an instruction: memory and
devices can be read, but not registers. At interrupts, ring transitions and HLT the machine is stopped.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from enclave_sim.guarantees.report import Finding
from enclave_sim.specification import EngineName
from firmware import built_in
from machine.machine import Machine
from machine.state import Stateful

_MAX_FINDINGS = 100


class Watcher(Stateful):
    """Base of all watchers: counts checks, and keeps findings."""

    STATE: ClassVar[tuple[str, ...]] = ("looked_at", "findings")
    WIRING: ClassVar[tuple[str, ...]] = ("machine", "engine", "kernel")

    NAME: ClassVar[str]

    def __init__(self) -> None:
        self.looked_at: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.machine: Machine
        self.kernel = built_in()
        """The firmware of the enclave."""
        self.engine = EngineName.WASMTIME
        """The engine that runs the guest."""

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """Return the handlers of the event types that the watcher needs."""
        raise NotImplementedError

    def count(self, what: str) -> None:
        """Count one check of something."""
        self.looked_at[what] += 1

    def find(self, what: str, at_ns: int | None, evidence: tuple[str, ...] = ()) -> None:
        """Keep a finding. Findings after the first hundred are dropped."""
        if len(self.findings) < _MAX_FINDINGS:
            self.findings.append(Finding(what, at_ns, evidence))
