"""The complete machine at one moment: processor, RAM, devices and clock."""

import msgspec

from machine.bus.ram import RamImage
from machine.state import State


class MachineSnapshot(msgspec.Struct, frozen=True):
    """The result of `Machine.snapshot`. Any machine of the same configuration can restore it."""

    at_ns: int
    """Virtual time in ns."""
    processor: State
    """Unicorn's saved context, the instruction hook's state and the time stamp counter."""
    parts: tuple[State, ...]
    """The state of each part of the machine, in a fixed order."""
    devices: tuple[State, ...]
    """The state of each device, in the order in which they were attached."""
    ram: RamImage
