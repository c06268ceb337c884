"""The content of places at the current position of a machine."""

from enclave_sim.time_travel.navigation.provenance.places import KERNEL_GS_BASE, MMX, Place, is_register, size_of
from machine.instructions.floating_point.state import X87State
from machine.instructions.system.msrs import IA32_KERNEL_GS_BASE
from machine.machine import Machine

_X87_PITCH = 16


def content(machine: Machine, place: Place) -> bytes:
    """Return the content of RAM or of a register; nothing for a device or a value of a guest."""
    if place.in_memory:
        return machine.ram.read(place.start, place.size) if place.end <= machine.ram.size else b""
    if not is_register(place.space):
        return b""
    if place.space in MMX:
        unit = X87State(machine.cpu.context.x87_state)
        at = (MMX.index(place.space) - unit.top & 7) * _X87_PITCH
        return unit.numbers[at + place.start : at + place.end]
    if place.space == KERNEL_GS_BASE:
        number = machine.cpu.read_msr(IA32_KERNEL_GS_BASE)
    else:
        number = machine.cpu.read_register(place.space.upper())
    return number.to_bytes(max(size_of(place.space), 8), "little")[place.start : place.end]
