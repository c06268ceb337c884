"""Faults of hardware parts other than RAM: inverted bits of registers, skipped instructions, lost interrupts.

A fault is applied to a machine that is stopped between two steps. enclave_sim/inputs.py lists the parts with their
effects.
"""

from enclave_sim.enclave.devices.mailbox import Mailbox
from enclave_sim.inputs import HardwareFault
from machine.machine import Machine
from machine.processor.cpu import Cpu

_CONTROL = {"cr0": "CR0", "cr4": "CR4"}
_EFER = 0xC000_0080
_NMI = 2


def apply(machine: Machine, fault: HardwareFault) -> None:
    """Apply a fault, but for the time that passes in it.

    A skipped or repeated instruction needs a processor that does not sleep: else nothing happens.
    """
    if fault.part == "interrupt":
        _interrupt(machine, fault)
    elif fault.part == "tpm" or fault.part.startswith("pcr"):
        _tpm(machine, fault)
    elif fault.part == "mailbox":
        for mailbox in (one for one in machine.bus.devices if isinstance(one, Mailbox)):
            mailbox.wrong ^= fault.value
    elif fault.part.startswith(("scrub", "hash")):
        _engine(machine, fault)
    elif fault.part == "timer":
        machine.local_apic.stall_timer(fault.value)
    elif fault.part == "tsc":
        machine.cpu.time_stamp_counter.value ^= fault.value
    elif fault.part not in ("instruction", "clock"):
        _flip(machine.cpu, fault.part, fault.value)
    elif fault.effect == "repeat" and not machine.halted:
        registers = machine.cpu.registers
        registers.rip = registers.offset_of(machine.cpu.hook.last)


def pass_time(machine: Machine, fault: HardwareFault) -> None:
    """Let the time pass that a fault takes. Its event comes before, so that a replay takes it at the same time."""
    if fault.part == "clock":
        machine.clock.spend(fault.value)
    elif fault.effect == "skip":
        _skip(machine, fault.value)


def _interrupt(machine: Machine, fault: HardwareFault) -> None:
    if fault.effect == "lose":
        machine.local_apic.withdraw(fault.value)
    elif fault.value == _NMI:
        machine.request_nmi()
    elif fault.value >= 16:
        machine.request_interrupt(fault.value)


def _tpm(machine: Machine, fault: HardwareFault) -> None:
    """Disturb the TPM. One in another process cannot fail, and has PCRs of its own."""
    from machine.devices.tpm_crb import TpmCrb  # noqa: PLC0415 - an enclave may have no TPM
    from machine.tpm.model import TpmModel  # noqa: PLC0415

    for crb in (one for one in machine.bus.devices if isinstance(one, TpmCrb)):
        if fault.effect == "delay":
            crb.delay_ns = fault.value
        elif fault.effect == "error":
            crb.error = fault.value
        elif isinstance(crb.tpm, TpmModel) and fault.effect == "fail":
            crb.tpm.fail()
        elif isinstance(crb.tpm, TpmModel):
            crb.tpm.flip_pcr(int(fault.part[3:]), fault.value)


def _engine(machine: Machine, fault: HardwareFault) -> None:
    """Invert bits of a range that the scrub or hash engine holds. A machine for bare kernels has none."""
    from machine.devices.engines.hash_engine import HashEngine  # noqa: PLC0415 - few runs need them
    from machine.devices.engines.scrub_engine import ScrubEngine  # noqa: PLC0415

    name, _, register = fault.part.partition("_")
    for device in machine.bus.devices:
        if isinstance(device, HashEngine) and name == "hash":
            device.invert(register, fault.value)
        elif isinstance(device, ScrubEngine) and name != "hash":
            device.invert(int(name.removeprefix("scrub")), register, fault.value)


def _skip(machine: Machine, count: int) -> None:
    """Retire instructions at RIP without executing them. Code that cannot be decoded ends it."""
    cpu = machine.cpu
    for _ in range(0 if machine.halted else count):
        instruction = cpu.code.instruction_at(cpu.linear_rip)
        if instruction is None:
            return
        cpu.skip(instruction.length)


def _flip(cpu: Cpu, part: str, bits: int) -> None:
    """Invert bits of a register, and drop what the emulator has derived from it."""
    registers = cpu.registers
    if part == "rflags":
        cpu.rflags ^= bits
    elif part in _CONTROL:
        cpu.write_register(_CONTROL[part], cpu.read_register(_CONTROL[part]) ^ bits)
    elif part.startswith("xmm"):
        number, _, half = part[3:].partition("_")
        context = cpu.context
        context.write_vector(int(number), context.read_vector(int(number)) ^ bits << (64 if half == "high" else 0))
    elif part == "mxcsr":
        cpu.context.mxcsr ^= bits
    elif part == "cr2":
        registers.cr[2] ^= bits
    elif part == "efer":
        cpu.write_msr(_EFER, cpu.read_msr(_EFER) ^ bits)
    elif "_" in part:
        name, _, field = part.partition("_")
        register = getattr(registers, name)
        setattr(register, field, getattr(register, field) ^ bits)
    else:
        setattr(registers, part, getattr(registers, part) ^ bits)
    cpu.engine.paging.flush_tlb()  # otherwise the content of the TLB would depend on earlier restores
