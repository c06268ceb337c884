"""An explanation of a triple fault: the exceptions that led to it, their places, and the last instructions.

A kernel on the bare machine does the same each time, so the last instructions are found by running it again until just
before its end, and stepping from there.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import msgspec
from capstone import CS_ARCH_X86, CS_MODE_16, CS_MODE_32, CS_MODE_64, Cs

from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.enclave.kernel.mapped_memory import read
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.errors import HostLimitReached
from enclave_sim.specification import describe_exception
from machine.architecture.exceptions import PF
from machine.architecture.processor_state import DEFAULT_32
from machine.events import Event, InterruptRaised, Shutdown
from machine.machine import Machine

_LONGEST_RUN = 100_000_000
"""The maximum number of re-executed instructions."""
_STEPS = 1000
"""The number of last instructions that are searched for branches."""
_INSTRUCTIONS, _BRANCHES = 8, 8
_LONGEST_INSTRUCTION = 15
_EXTERNAL, _IDT, _LDT = 1, 2, 4
_PAGE_FAULT = (("page not present", "page protected"), ("read", "write"), ("ring 0", "ring 3"))


class _Step(msgspec.Struct, frozen=True):
    address: int
    text: str
    length: int
    """Length in bytes; 0 if the instruction could not be read."""


def explanation(kernel: BareKernel, events: Iterable[Event], again: Callable[[], BareKernel]) -> Iterator[str]:
    """Yield lines that explain a triple fault.

    Args:
        kernel: The kernel, shut down.
        events: The last events of its run.
        again: Makes the same kernel again.
    """
    yield from _exceptions(events, kernel.program)
    cpu = kernel.machine.cpu
    registers = cpu.registers
    state = f"CR2 {registers.cr[2]:#x}, CR3 {registers.cr[3]:#x}, RSP {registers.rsp:#x}, IDT {registers.idtr.base:#x}"
    yield f"{state} (limit {registers.idtr.limit:#x}), ring {registers.cpl}, {kernel.machine.mode} mode"
    if cpu.hook.retired > _LONGEST_RUN:
        yield f"the last instructions are not looked for: it took more than {_LONGEST_RUN:,} to get here"
        return
    try:
        steps = list(_last_steps(again(), kernel.machine.clock.now_ns))
    except HostLimitReached:
        yield "the last instructions are not looked for: the host limit is reached"
        return
    branches = deque[tuple[_Step, _Step]](maxlen=_BRANCHES)
    for one, following in pairwise(steps):
        if following.address not in (one.address, one.address + one.length):
            branches.append((one, following))
    if branches:
        yield "last branches:"
        yield from (f"  {_at(kernel.program, a.address)} -> {_at(kernel.program, b.address)}" for a, b in branches)
    if steps:
        yield "last instructions:"
        yield from (f"  {_at(kernel.program, one.address)}  {one.text}" for one in steps[-_INSTRUCTIONS:])


def _exceptions(events: Iterable[Event], program: Program) -> Iterator[str]:
    """Yield a line for each exception since the last delivered one, and one for the last, which was not delivered."""
    chain: list[InterruptRaised] = []
    for event in events:
        if isinstance(event, InterruptRaised):
            chain.append(event)
        elif not isinstance(event, Shutdown):
            chain.clear()
        else:
            for number, one in enumerate(chain):
                where = f" at {_at(program, one.rip)}" if number == 0 else " while that was being delivered"
                yield f"{describe_exception(one.vector)}{where}{_details(one)}"
            if len(chain) > 1 or event.vector != chain[0].vector:
                yield f"{describe_exception(event.vector)} while that was being delivered: the processor shuts down"


def _details(one: InterruptRaised) -> str:
    if one.error_code is None:
        return ""
    code = f", error code {one.error_code:#x}"
    if one.vector == PF:
        words = [words[one.error_code >> bit & 1] for bit, words in enumerate(_PAGE_FAULT)]
        return f"{code} ({', '.join(words)}), address {0 if one.address is None else one.address:#x}"
    if not one.error_code & ~_EXTERNAL:
        return code
    index = one.error_code >> 3
    if one.error_code & _IDT:
        return f"{code} (entry {index} of the IDT, for {describe_exception(index)})"
    return f"{code} (selector {one.error_code & ~7:#x} in the {'LDT' if one.error_code & _LDT else 'GDT'})"


def _at(program: Program, address: int) -> str:
    return f"{address:#x} {program.symbol(address)}".rstrip()


def _last_steps(kernel: BareKernel, end_ns: int) -> Iterator[_Step]:
    """Yield the last instructions of a run that has not begun and that ends at a virtual time."""
    machine = kernel.machine
    start_ns = end_ns - _STEPS * machine.clock.ns_per_instruction
    if start_ns > 0:
        kernel.advance(start_ns)
    while not machine.shut_down:
        retired = machine.cpu.hook.retired
        step = _step_at(machine)
        if not kernel.step():
            return
        has_retired = machine.cpu.hook.retired != retired
        if has_retired or machine.shut_down or machine.cpu.linear_rip != step.address:  # and not asleep
            yield step
        if has_retired and machine.shut_down:  # the next instruction could not be fetched
            yield _step_at(machine)


def _step_at(machine: Machine) -> _Step:
    """Return the instruction at the machine's RIP."""
    cpu = machine.cpu
    address, registers = cpu.linear_rip, cpu.registers
    mode = CS_MODE_64 if registers.in_64_bit_code else CS_MODE_32 if registers.cs.flags & DEFAULT_32 else CS_MODE_16
    code = read(machine, address, _LONGEST_INSTRUCTION)
    for _, length, mnemonic, operands in Cs(CS_ARCH_X86, mode).disasm_lite(code, address, 1):
        return _Step(address, f"{mnemonic} {operands}".rstrip(), length)
    return _Step(address, f"no instruction: {code.hex(' ')}" if code else "not mapped to RAM", 0)
