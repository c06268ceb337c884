"""A machine with a loaded image."""

from machine.boot import loader
from machine.machine import Machine, MachineConfiguration
from tests.machine.conftest import Log


def booted(image: bytes, *, portable: bool = False) -> tuple[Machine, Log]:
    log = Log()
    machine = Machine(MachineConfiguration(16 << 20, portable=portable), log)
    loader.load(machine, image)
    return machine, log
