"""A watcher gets every event while it happens, and looks at the machine as it is at that moment.

At events that a device makes (a scrub, the end of a cycle) the processor is in the middle of an instruction: memory
and devices can be looked at, registers cannot. At interrupts, ring transitions and HLT it is stopped.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from enclave_sim.guarantees.report import Finding
from machine.machine import Machine
from machine.state import Stateful

_MOST_FINDINGS = 100


class Watcher(Stateful):
    """Base of all watchers: counts what it looked at, and keeps what it found."""

    STATE: ClassVar[tuple[str, ...]] = ("looked_at", "findings")
    WIRING: ClassVar[tuple[str, ...]] = ("machine", "native")

    NAME: ClassVar[str]

    def __init__(self) -> None:
        self.looked_at: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.machine: Machine
        self.native = False
        """Whether the guest is a flat binary."""

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """What to do at which type of event."""
        raise NotImplementedError

    def count(self, what: str) -> None:
        """Something was looked at."""
        self.looked_at[what] += 1

    def find(self, what: str, at_ns: int | None, evidence: tuple[str, ...] = ()) -> None:
        """Something is not as it should be. After a hundred findings further ones are dropped."""
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(Finding(what, at_ns, evidence))
