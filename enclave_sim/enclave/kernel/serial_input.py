"""Serial input to a kernel, each byte at its virtual time, with its event."""

from collections.abc import Iterable, Sequence

from enclave_sim.errors import ConfigurationError
from machine.events import Event, SerialReceived
from machine.machine import Machine


class SerialInput:
    """Serial input: at times known in advance, or whenever `receive` is called.

    Args:
        machine: The machine of the kernel.
        typed: Virtual times in ns, in order, and the bytes received then.
    """

    def __init__(self, machine: Machine, typed: Sequence[tuple[int, bytes]]) -> None:
        self._machine = machine
        self.typed = list(typed)
        """Virtual times in ns, and bytes: those received, and those known in advance."""
        self.taken = 0
        """The number of entries of `typed` received so far."""

    @property
    def next_ns(self) -> int | None:
        """The virtual time of the next bytes, or None."""
        return self.typed[self.taken][0] if self.taken < len(self.typed) else None

    def take_next(self) -> None:
        """Receive the next bytes now."""
        data = self.typed[self.taken][1]
        self.taken += 1
        self._machine.clock.timeless_steps += 1
        self._machine.journal.emit(SerialReceived, data.hex())
        self._machine.uart.receive(data)

    def receive(self, data: bytes) -> None:
        """Receive bytes now, in place of those known for later."""
        self.typed[self.taken :] = [(self._machine.clock.now_ns, data)]
        self.take_next()


def typed_in(events: Iterable[Event]) -> tuple[tuple[int, bytes], ...]:
    """Return the serial input of a run, for `KernelOptions.typed`.

    Args:
        events: The events of the run.

    Returns:
        Virtual times in ns and bytes.

    Raises:
        ConfigurationError: The bytes of an event are not hexadecimal text.
    """
    try:
        return tuple((one.at_ns, bytes.fromhex(one.data)) for one in events if isinstance(one, SerialReceived))
    except ValueError:
        raise ConfigurationError("the data of an event serial_received is not hexadecimal text") from None
