"""Runs in which the machine is corrupted while the watchers look at one event, and restored after it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.guarantees import Run
from enclave_sim.guarantees.observation import Observer, Scenario
from machine.events import Event, RingTransition
from machine.machine import Machine

Change = Callable[[Machine], Callable[[], None]]
"""Corrupts a machine, and returns the undo function."""


def state(name: str, value: int) -> Change:
    """A register of the processor's structure; a dot selects a field of a segment register."""

    def change(machine: Machine) -> Callable[[], None]:
        holder: Any = machine.cpu.registers
        first, _, last = name.partition(".")
        if last:
            holder = getattr(holder, first)
        before = getattr(holder, last or first)
        setattr(holder, last or first, value)
        return lambda: setattr(holder, last or first, before)

    return change


def engine(name: str, value: int) -> Change:
    """A register that only Unicorn holds."""

    def change(machine: Machine) -> Callable[[], None]:
        before = machine.cpu.context.content
        machine.cpu.write_register(name, value)
        return lambda: setattr(machine.cpu.context, "content", before)

    return change


def debug(number: int, value: int) -> Change:
    def change(machine: Machine) -> Callable[[], None]:
        before = machine.cpu.debug.read(number)
        machine.cpu.debug.write(number, value)
        return lambda: machine.cpu.debug.write(number, before)

    return change


def control(number: int, value: int) -> Change:
    def change(machine: Machine) -> Callable[[], None]:
        before = machine.cpu.registers.cr[number]
        machine.cpu.registers.cr[number] = value
        return lambda: machine.cpu.registers.cr.__setitem__(number, before)

    return change


def flags(bits: int) -> Change:
    def change(machine: Machine) -> Callable[[], None]:
        before = machine.cpu.rflags
        machine.cpu.rflags = before ^ bits
        return lambda: setattr(machine.cpu, "rflags", before)

    return change


def byte(address: int) -> Change:
    def change(machine: Machine) -> Callable[[], None]:
        before = machine.ram.read(address, 1)
        machine.ram.write(address, bytes([before[0] ^ 0x40]))
        return lambda: machine.ram.write(address, before)

    return change


class Spoiling(Observer):
    """Corrupts the machine for the watchers at the first matching event."""

    def __init__(self, wanted: Callable[[Event], bool], change: Change) -> None:
        super().__init__()
        self._wanted: Callable[[Event], bool] | None = wanted
        self._change = change
        self.done = False

    def record(self, event: Event) -> None:
        if self.done or self._wanted is None or not self._wanted(event):
            super().record(event)
            return
        self.done = True
        mend = self._change(self.watchers[0].machine)
        super().record(event)
        mend()


def spoilt(wanted: Callable[[Event], bool], change: Change, payload: str | bytes = "counter", **options: Any) -> Run:
    """Watch a run that is corrupted at one event, and otherwise sound."""
    observer, scenario = Spoiling(wanted, change), Scenario(payload, EnclaveOptions.of(**options))
    enclave = scenario.enclave(observer)
    observer.attach(enclave)
    run = observer.run(enclave, scenario)
    assert observer.done
    return run


def enters_ring_3(event: Event) -> bool:
    return isinstance(event, RingTransition) and event.to_ring == 3


@contextmanager
def memory(machine: Machine, address: int, data: bytes) -> Iterator[None]:
    before = machine.ram.read(address, len(data))
    machine.ram.write(address, data)
    yield
    machine.ram.write(address, before)


@contextmanager
def field(holder: Any, name: str | int, value: Any) -> Iterator[None]:
    before = holder[name] if isinstance(name, int) else getattr(holder, name)

    def put(wanted: Any) -> None:
        if isinstance(name, int):
            holder[name] = wanted
        else:
            setattr(holder, name, wanted)

    put(value)
    yield
    put(before)
