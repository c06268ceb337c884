"""Applies faults to an enclave that is stopped at the fault's moment.

A fault becomes inputs, each taken by hand and so recorded: the recording of the run replays it without this room. A
fault that lasts (stuck bits, storms) drives the run for its duration, and takes an input whenever it acts.
"""

from collections.abc import Callable, Iterator

from enclave_sim.campaigns.faults import (
    MILLION,
    Answer,
    AnyFault,
    ClockDrift,
    InterruptStorm,
    MemoryBits,
    PartFault,
    PowerLoss,
    RegisterBits,
    StuckMemory,
    StuckRegister,
)
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.inputs import AnyInput, HardwareFault, MemoryFault, SensorValue
from machine.machine import Outcome


class NotActivatedError(Exception):
    """The fault has no effect here. The text says why; nothing was changed."""


def mistake_of(fault: AnyFault, ram_bytes: int) -> str | None:
    """Describe what is wrong with a fault, and what would be right; None if it is possible."""
    if isinstance(fault, PowerLoss) and not 0 <= fault.decay <= MILLION:
        return f"decay is {fault.decay}; it must be 0 to {MILLION}"
    for one in _first_inputs(fault, 0):
        if isinstance(one, MemoryFault) and not 0 <= one.address < ram_bytes:
            return f"there is no RAM at {one.address:#x}; it ends at {ram_bytes - 1:#x}"
        if one.mistake is not None:
            return one.mistake
    return None


def _first_inputs(fault: AnyFault, now: int) -> Iterator[AnyInput]:
    match fault:
        case MemoryBits(address, bits):
            for offset, byte in enumerate(bits.to_bytes((bits.bit_length() + 7) // 8, "little")):
                if byte:
                    yield MemoryFault(at_ns=now, address=address + offset, bits=byte)
        case StuckMemory(address, bits):
            yield MemoryFault(at_ns=now, address=address, bits=bits)
        case RegisterBits(register, bits) | StuckRegister(register, bits):
            yield HardwareFault(at_ns=now, part=register, effect="flip", value=bits)
        case PartFault(part, effect, value):
            yield HardwareFault(at_ns=now, part=part, effect=effect, value=value)
        case InterruptStorm(vector):
            yield HardwareFault(at_ns=now, part="interrupt", effect="raise", value=vector)
        case ClockDrift(advance_ns):
            yield HardwareFault(at_ns=now, part="clock", effect="advance", value=advance_ns)
        case Answer(sensor, value):
            yield SensorValue(at_ns=now, sensor=sensor, value=value)


def inject(enclave: Enclave, fault: AnyFault, limit_ns: int) -> None:
    """Apply a fault now, and drive the run for as long as it lasts.

    Args:
        enclave: The enclave, stopped between two steps.
        fault: The fault.
        limit_ns: The end of the run: nothing is driven beyond it.

    Raises:
        NotActivatedError: It has no effect here.
    """
    machine = enclave.machine
    match fault:
        case StuckMemory():
            _stick_memory(enclave, fault, limit_ns)
        case StuckRegister():
            _stick_register(enclave, fault, limit_ns)
        case InterruptStorm(_, count, every_ns) | ClockDrift(_, count, every_ns):
            for number in range(count):
                if number and not _advance(enclave, machine.clock.now_ns + every_ns, limit_ns):
                    return
                _take(enclave, fault)
        case _:
            _refuse_idle(enclave, fault)
            _take(enclave, fault)


def _take(enclave: Enclave, fault: AnyFault) -> None:
    for one in _first_inputs(fault, enclave.machine.clock.now_ns):
        enclave.take(one)


def _refuse_idle(enclave: Enclave, fault: AnyFault) -> None:
    """Raise NotActivatedError for a fault that cannot act in this state."""
    machine = enclave.machine
    if enclave.is_over or machine.shut_down:
        raise NotActivatedError("the run is over")
    if not isinstance(fault, PartFault):
        return
    if fault.part == "instruction" and machine.halted:
        raise NotActivatedError("the processor sleeps: there is no instruction")
    if fault.effect == "lose" and not machine.local_apic.is_requested(fault.value):
        raise NotActivatedError(f"interrupt {fault.value} is not requested: there is nothing to lose")


def _advance(enclave: Enclave, until_ns: int, limit_ns: int) -> bool:
    """Run up to a time; return False if the run, or its limit, ended before it."""
    run_until(enclave, min(until_ns, limit_ns))
    return enclave.machine.clock.now_ns >= until_ns and until_ns < limit_ns


def run_until(enclave: Enclave, at_ns: int) -> None:
    """Run up to a virtual time, or to the end of the run."""
    while enclave.machine.clock.now_ns < at_ns and enclave.advance(at_ns) is Outcome.STOPPED:
        pass


def _stick_memory(enclave: Enclave, fault: StuckMemory, limit_ns: int) -> None:
    """Correct the byte after each write that changes a stuck bit."""
    machine, wanted = enclave.machine, fault.bits if fault.value else 0
    ends = min(machine.clock.now_ns + fault.for_ns, limit_ns)
    acted = False

    def correct() -> None:
        nonlocal acted
        wrong = (machine.ram.read(fault.address, 1)[0] ^ wanted) & fault.bits
        if wrong:
            acted = True
            enclave.take(MemoryFault(at_ns=machine.clock.now_ns, address=fault.address, bits=wrong))

    where = range(fault.address, fault.address + 1)
    stop: Callable[..., None] = lambda *_: machine.request_stop()  # noqa: E731
    watches = [machine.cpu.watch_memory(where, stop, reads=False), machine.ram.watch(where, stop)]
    try:
        correct()
        while machine.clock.now_ns < ends and enclave.advance(ends) is Outcome.STOPPED:
            correct()
        correct()
    finally:
        for end in watches:
            end()
    if not acted:
        raise NotActivatedError("the bits had the stuck value all the time")


def _stick_register(enclave: Enclave, fault: StuckRegister, limit_ns: int) -> None:
    """Correct the register after each instruction that changes a stuck bit."""
    machine, wanted = enclave.machine, fault.bits if fault.value else 0
    ends, acted = machine.cpu.hook.retired + fault.instructions, False
    while True:
        wrong = (int(getattr(machine.cpu.registers, fault.register)) ^ wanted) & fault.bits
        if wrong:
            acted = True
            enclave.take(HardwareFault(at_ns=machine.clock.now_ns, part=fault.register, effect="flip", value=wrong))
        over = machine.cpu.hook.retired >= ends or machine.clock.now_ns >= limit_ns
        if over or not enclave.step():
            break
    if not acted:
        raise NotActivatedError("the bits had the stuck value all the time")
