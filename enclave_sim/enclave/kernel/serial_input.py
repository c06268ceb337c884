"""Bytes that come over the serial line to a kernel, each at its virtual time, and the event of each."""

from collections.abc import Iterable, Sequence

from enclave_sim.errors import ConfigurationError
from machine.events import Event, SerialReceived
from machine.machine import Machine


class SerialInput:
    """Input over the serial line: at times that are known before, or whenever `receive` is called.

    Args:
        machine: The machine of the kernel.
        typed: Virtual times in ns, in order, and the bytes that come then.
    """

    def __init__(self, machine: Machine, typed: Sequence[tuple[int, bytes]]) -> None:
        self._machine = machine
        self.typed = list(typed)
        """Virtual times in ns, and bytes: those that have come, and those that are known to come."""
        self.taken = 0
        """The number of entries of `typed` that have come."""

    @property
    def next_ns(self) -> int | None:
        """The virtual time at which the next bytes come, or None."""
        return self.typed[self.taken][0] if self.taken < len(self.typed) else None

    def take_next(self) -> None:
        """Let the next bytes come now."""
        data = self.typed[self.taken][1]
        self.taken += 1
        self._machine.journal.emit(SerialReceived, data.hex())
        self._machine.uart.receive(data)

    def receive(self, data: bytes) -> None:
        """Let bytes come now, in place of those that were known to come later."""
        self.typed[self.taken :] = [(self._machine.clock.now_ns, data)]
        self.take_next()


def typed_in(events: Iterable[Event]) -> tuple[tuple[int, bytes], ...]:
    """Return what came over the serial line in a run, for `KernelOptions.typed`.

    Args:
        events: The events of the run.

    Returns:
        Virtual times in ns and bytes.

    Raises:
        ConfigurationError: The bytes of an event are no hexadecimal text.
    """
    try:
        return tuple((one.at_ns, bytes.fromhex(one.data)) for one in events if isinstance(one, SerialReceived))
    except ValueError:
        raise ConfigurationError("the data of an event serial_received is no hexadecimal text") from None
