"""Writes to memory and registers, as a debugger makes them. They take effect on any machine."""

from enclave_sim.inputs import WRITABLE_FLAGS, MemoryWrite, RegisterWrite
from machine.bus.writer import INPUT
from machine.machine import Machine


def write(machine: Machine, one: MemoryWrite | RegisterWrite) -> None:
    """Write to a machine that is stopped before an instruction."""
    if isinstance(one, MemoryWrite):
        machine.ram.write(one.address, bytes.fromhex(one.data), INPUT)
        machine.cpu.engine.paging.flush_tlb()  # otherwise the content of the TLB would depend on earlier restores
    elif one.register == "rflags":
        cpu = machine.cpu
        cpu.rflags = cpu.rflags & ~WRITABLE_FLAGS | one.value & WRITABLE_FLAGS
    else:
        machine.cpu.write_register(one.register.upper(), one.value)
