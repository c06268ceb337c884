"""Questions about provenance: registers and memory as users name them."""

from enclave_sim.errors import ConfigurationError
from enclave_sim.similar import did_you_mean
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, REGISTERS, Place
from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine


def asked(machine: Machine, what: str | int | Place, size: int, *, linear: bool) -> Place:
    """Return the place that a user asks for. Raises ConfigurationError; see `Travel.where_from`."""
    if isinstance(what, Place):
        return what
    if isinstance(what, str):
        if what.lower() not in REGISTERS:
            hint = did_you_mean(what, REGISTERS) or "there are rax to r15, their parts, xmm0 to xmm15 and rflags"
            raise ConfigurationError(f"{what!r} cannot be asked for; {hint}")
        return REGISTERS[what.lower()]
    base = what
    if linear:
        found = machine.cpu.memory.look(what)
        if found is None:
            raise ConfigurationError(f"linear address {what:#x} is not mapped")
        if what % PAGE_SIZE + size > PAGE_SIZE:
            raise ConfigurationError(f"{size} bytes at linear address {what:#x} are in several pages; ask for each")
        base = found.physical + what % PAGE_SIZE
    if size < 1 or base < 0 or base + size > machine.ram.size:
        raise ConfigurationError(f"{size} bytes at {base:#x} are not in RAM, which ends at {machine.ram.size - 1:#x}")
    return Place(MEMORY, base, size)
