"""The whole machine at one moment: processor, RAM, devices and clock."""

from dataclasses import dataclass

from machine.bus.ram import RamImage
from machine.state import State


@dataclass(frozen=True, slots=True)
class MachineSnapshot:
    """What `Machine.snapshot` took and `Machine.restore` returns to; a machine of the same configuration can do so."""

    at_ns: int
    """Virtual time."""
    processor: State
    """Unicorn's saved context, the instruction hook's state, and what the machine keeps beside them."""
    parts: tuple[State, ...]
    """Of each part of the machine, in a fixed order."""
    devices: tuple[State, ...]
    """Of each device, in the order in which they were attached."""
    ram: RamImage
