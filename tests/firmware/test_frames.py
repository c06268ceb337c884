"""The call frame information of the kernel's assembly code gives the return address at each instruction.

The machine is the reference: the information at a function's first instruction must hold at all its instructions, and
match the effect of RET or IRETQ.
"""

import io
import operator
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile

import firmware
from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.memory_map import region
from enclave_sim.time_travel import Position, Session
from enclave_sim.time_travel.position import NoSuchPosition
from enclave_sim.time_travel.travel import Travel
from machine.machine import Machine
from tests.firmware.plain_pc import command_line

RBX, RBP, RSP, RIP = 3, 6, 7, 16
NAMES = {3: "rbx", 5: "rdi", 6: "rbp", 7: "rsp", 12: "r12", 13: "r13", 14: "r14", 15: "r15"}
KEPT = [number for number in NAMES if number not in (5, RSP)]
HANDLER, CALLED = b"\x04S\0\x08\0\x01\x78\x10", b"\x04\0\x08\0\x01\x78\x10\0"
"""The common entry of handlers, with augmentation S, and the same without, because pyelftools does not support it
here."""


class Caller(NamedTuple):
    """The registers with which code will return to its caller, without lost ones."""

    rip: int | None
    rsp: int
    kept: dict[str, int]


@cache
def entries() -> list[FDE]:
    assert firmware.built_in().image.count(HANDLER) == 1
    dwarf = ELFFile(io.BytesIO(firmware.built_in().image.replace(HANDLER, CALLED))).get_dwarf_info()
    return [entry for entry in dwarf.CFI_entries() if isinstance(entry, FDE)]


def entry_at(address: int) -> FDE | None:
    found = [one for one in entries() if 0 <= address - one["initial_location"] < one["address_range"]]
    assert len(found) <= 1
    return found[0] if found else None


def evaluated(machine: Machine, expression: Iterable[int], *start: int) -> int:
    """The value of a DWARF expression (2.5), with the operations used by the kernel's frames."""
    stack, codes = [*start], iter(expression)
    binary = {0x1C: operator.sub, 0x1E: operator.mul, 0x22: operator.add, 0x2D: operator.lt}
    for code in codes:
        if code == 0x77:  # breg7, with an offset below 64
            stack.append(machine.cpu.registers.rsp + next(codes))
        elif code == 0x0C:  # const4u
            stack.append(int.from_bytes(bytes(next(codes) for _ in range(4)), "little"))
        elif code == 0x94:  # deref_size
            stack.append(int.from_bytes(machine.ram.read(stack.pop(), next(codes)), "little"))
        elif code in binary:
            second = stack.pop()
            stack.append(binary[code](stack.pop(), second))
        else:
            assert code in range(0x30, 0x50)
            stack.append(code - 0x30)
    return stack.pop()


def caller(machine: Machine, rip: int | None = None) -> Caller:
    rip, registers = machine.cpu.linear_rip if rip is None else rip, machine.cpu.registers
    entry = entry_at(rip)
    assert entry is not None, f"no call frame information at {rip:#x}"
    row: dict[Any, Any] = [row for row in entry.get_decoded().table if row["pc"] <= rip][-1]
    rule = row["cfa"]
    assert rule.reg in (None, RSP)
    frame = evaluated(machine, rule.expr) if rule.reg is None else registers.rsp + rule.offset

    def value(number: int) -> int | None:
        rule = row.get(number)
        if rule is None or rule.type == "SAME_VALUE":
            return frame if number == RSP else int(getattr(registers, NAMES[number]))
        if rule.type == "OFFSET":
            return int.from_bytes(machine.ram.read(frame + rule.arg, 8), "little")
        if rule.type == "REGISTER":
            return int(getattr(registers, NAMES[rule.arg]))
        if rule.type == "VAL_EXPRESSION":
            return evaluated(machine, rule.arg, frame)
        assert rule.type == "UNDEFINED"
        return None

    rsp = value(RSP)
    assert rsp is not None
    kept = {NAMES[number]: value(number) for number in KEPT}
    return Caller(value(RIP), rsp, {name: it for name, it in kept.items() if it is not None})


def is_return(code: bytes) -> bool:
    return code[:1] == b"\xc3" or code[:2] == b"\x48\xcf"  # RET, IRETQ


def follow(run: Travel[Any], end: str | None = None, step: Callable[[], Any] | None = None) -> Iterator[Caller]:
    """Step over calls until the code returns, or reaches a symbol. Yield the information at each step."""
    machine, stop = run.machine, firmware.built_in().symbols.get(end or "")
    while True:
        said = caller(machine)
        yield said
        returns = is_return(machine.cpu.code.at(machine.cpu.linear_rip))
        (step or run.step_over)()
        if returns:
            assert (machine.cpu.linear_rip, machine.cpu.registers.rsp) == (said.rip, said.rsp)
            assert {name: getattr(machine.cpu.registers, name) for name in said.kept} == said.kept
            return
        if machine.cpu.linear_rip == stop:
            return


def assert_constant(said: Iterator[Caller]) -> Caller:
    """Check that no instruction disagrees with the first one. Return the first one's information."""
    first = next(said)
    for later in said:
        assert later[:2] == first[:2]
        assert later.kept.items() <= first.kept.items()
    return first


def to(run: Travel[Any], symbol: str) -> Travel[Any]:
    run.run_to(symbol=symbol)
    return run


def on_a_plain_pc(payload: bytes = b"") -> Travel[BareKernel]:
    """The kernel without scrub engine and enclave block, so that it zeroes RAM itself, and prints."""
    image, words, modules = firmware.built_in().image, command_line(payload), [(payload, "payload0")]
    return Travel(
        lambda recorder: BareKernel(
            "aether.elf", image, command_line=words, modules=modules, ram_bytes=16 << 20, recorder=recorder
        )
    )


def function(run: Travel[Any], address: int | None) -> str:
    assert address is not None
    return (run.program.symbol(address) or "").partition("+")[0]


@pytest.mark.parametrize(("name", "called_by"), [("move", "_start"), ("protections", "clean")])
def test_functions_of_32_bit_code(name: str, called_by: str) -> None:
    run = to(Session("counter"), name)
    assert function(run, assert_constant(follow(run)).rip) == called_by


@pytest.mark.slow
def test_functions_that_zero_ram() -> None:
    run = on_a_plain_pc()
    names = {"zero_free_ram": "clean", "inspect": "each_range", "zero": "zero_range", "each_range": "zero_free_ram"}
    for name, called_by in names.items():
        run.go_to(Position(0))
        assert function(run, assert_constant(follow(to(run, name))).rip) == called_by


@pytest.mark.parametrize("name", ["_start", "long_mode", "gate"])
def test_where_nothing_has_called(name: str) -> None:
    run = Session("counter")
    if name != "_start":
        to(run, name)
    assert caller(run.machine).rip is None


def test_a_host_call_comes_from_the_gate_and_goes_back_there() -> None:
    run = to(Session("counter"), "gate")
    stack = run.machine.cpu.registers.rsp
    run.run_to(event="ring_transition", when=lambda event: event.to_ring == 0)
    said = assert_constant(follow(run))  # from the stub
    assert said[:2] == (firmware.built_in().symbols["gate"], stack)
    assert run.machine.cpu.registers.cpl == 3


@pytest.mark.parametrize("name", ["enter_guest", "leave_guest"])
def test_entering_and_leaving_the_guest_return_to_the_kernel_with_its_registers(name: str) -> None:
    run = to(Session("counter"), name)
    if name == "leave_guest":
        run.step()  # which takes the stack from enter_guest()
    said = assert_constant(follow(run, "return_to_guest"))
    assert function(run, said.rip) == "exec_loop"
    assert list(said.kept) == [NAMES[number] for number in KEPT]
    if name == "enter_guest":
        assert caller(run.machine).rip == firmware.built_in().symbols["gate"]


@pytest.mark.parametrize(
    ("payload", "options", "after"),
    [("runner", {"engine": "native", "quantum_ns": 20_000}, "enter_guest"), ("counter", {"cycles": 2}, "idle")],
)
def test_an_interrupt_returns_to_what_it_interrupted_with_all_registers(
    payload: str, options: dict[str, Any], after: str
) -> None:
    run = to(Session(payload, **options), after)
    run.run_to(event="interrupt_delivered", when=lambda event: event.vector in range(32, 0x80))
    assert list(assert_constant(follow(run)).kept) == [NAMES[number] for number in KEPT]


def test_sleep_returns_to_the_loop() -> None:
    run = to(Session("counter", cycles=2), "idle")
    said = caller(run.machine)
    assert function(run, said.rip) == "exec_loop"
    run.step()
    assert caller(run.machine) == said
    run.run_to(event="interrupt_returned")
    assert said == assert_constant(follow(run))


@pytest.mark.parametrize("payload", ["divider", "abyss"])
def test_an_exception_comes_from_the_gate(payload: str) -> None:
    run = to(Session(payload), "exception_entry")
    for _ in range(2 if payload == "divider" else 1):  # one with an error code has one push less
        run.back()
    assert function(run, run.machine.cpu.linear_rip) == "interrupt_stubs"
    said = assert_constant(follow(run, "exception", step=run.step))
    assert said.rip in range(firmware.built_in().symbols["gate"], firmware.built_in().symbols["gate"] + 64)


def test_a_frame_at_a_handlers_last_call_is_found_after_the_call() -> None:
    """For a handler gdb uses the return address of the call, and exception() is called at the end."""
    run = to(Session("divider"), "exception")
    run.back()
    registers, here = run.machine.cpu.registers, caller(run.machine)
    behind, stack = firmware.built_in().symbols["spurious_entry"], registers.rsp
    assert caller(run.machine, behind)[:2] == here[:2]
    frame = 40  # where nothing but the frame is on the stack of interrupts
    registers.rsp = region("irq_stack").end - frame
    run.machine.ram.write(registers.rsp, struct.pack("<5Q", 7, 8, 2, 9, 0))
    assert caller(run.machine, behind)[:2] == (7, 9)
    registers.rsp = stack


def test_annihilation_is_called_until_it_scrubs_the_stack() -> None:
    run = to(Session("counter"), "fall_dormant")
    assert function(run, caller(run.machine).rip) == "annihilate"
    run.run_to(event="scrubbed")
    assert caller(run.machine).rip is None
    with pytest.raises(NoSuchPosition):
        run.run_to(at_ns=1 << 40)
    assert caller(run.machine).rip is None


@pytest.mark.slow
def test_what_annihilation_prints_continues_where_it_says() -> None:
    run = to(on_a_plain_pc(b"no guest of anybody"), "say")
    said = caller(run.machine)
    assert function(run, said.rip) in ("fall_dormant", "scrubbed")
    while function(run, run.machine.cpu.linear_rip) == "say":
        assert caller(run.machine)[:2] == said[:2]
        run.step()
    assert run.machine.cpu.linear_rip == said.rip
