"""Requested and served interrupts of the local APIC (SDM volume 3, "Interrupt, Task, and Processor Priority").

The priority class of a vector is its upper four bits. A requested vector is delivered if its class is above the
processor's, which is the higher of the task's class and that of the interrupt in service.
"""

from machine.state import Stateful


class Priorities(Stateful):
    """IRR, ISR and TMR as numbers of 256 bits, bit n for vector n; TPR and PPR as numbers of 8 bits."""

    STATE = ("requested", "in_service", "level_triggered", "task", "processor")

    def __init__(self) -> None:
        self.requested = self.in_service = self.level_triggered = 0
        self.task = self.processor = 0

    @property
    def arbitration(self) -> int:
        """APR, the arbitration priority for lowest-priority interrupts on a multiprocessor bus."""
        task, service, request = self.task >> 4, _highest(self.in_service) >> 4, _highest(self.requested) >> 4
        if task >= request and task > service:
            return self.task
        return max(task & service, request) << 4

    def deliverable(self) -> bool:
        """Report whether the highest requested vector may be delivered."""
        return self.requested.bit_length() - 1 >> 4 > self.processor >> 4

    def set_task(self, value: int) -> None:
        """Set TPR."""
        self.task = value & 0xFF
        self._set_processor()

    def request(self, vector: int, *, level_triggered: bool) -> None:
        """Add a request."""
        bit = 1 << vector
        self.requested |= bit
        self.level_triggered = self.level_triggered & ~bit | (bit if level_triggered else 0)

    def serve(self) -> int:
        """Move the highest requested vector into service, and return it."""
        vector = self.requested.bit_length() - 1
        self.requested ^= 1 << vector
        self.in_service |= 1 << vector
        self._set_processor()
        return vector

    def end(self) -> int | None:
        """End the highest vector in service. Return it if it was level-triggered, else None."""
        bit = 1 << self.in_service.bit_length() >> 1
        self.in_service &= ~bit
        self._set_processor()
        return bit.bit_length() - 1 if self.level_triggered & bit else None

    def _set_processor(self) -> None:
        service = self.in_service.bit_length() - 1
        self.processor = self.task if self.task >> 4 >= service >> 4 else service & 0xF0


def _highest(vectors: int) -> int:
    return max(0, vectors.bit_length() - 1)
