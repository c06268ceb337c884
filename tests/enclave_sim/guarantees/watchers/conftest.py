"""A machine at a guest's first instruction, for a watcher."""

import pytest

from enclave_sim import Enclave
from machine.events import Event, RingTransition
from machine.machine import Machine, Outcome


class Stopping:
    """A recorder that stops its machine at the first entry into ring 3."""

    def __init__(self) -> None:
        self.machine: Machine | None = None

    def record(self, event: Event) -> None:
        if self.machine is not None and isinstance(event, RingTransition) and event.to_ring == 3:
            self.machine.request_stop()


@pytest.fixture(scope="module")
def machine() -> Machine:
    """Return one at a guest's first instruction."""
    stopping = Stopping()
    enclave = Enclave("counter", recorder=stopping)
    stopping.machine = enclave.machine
    assert enclave.advance() is Outcome.STOPPED
    assert enclave.machine.cpu.registers.cpl == 3
    return enclave.machine
