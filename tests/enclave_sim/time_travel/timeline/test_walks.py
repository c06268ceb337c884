"""A position is one state: random walks over a run meet, at each position, what single steps forward have met there."""

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.inputs import AfterEvent, ExternalInterrupt, SensorValue, Tamper
from enclave_sim.time_travel import Position, Session, Travel
from enclave_sim.time_travel.position import NoSuchPosition
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.bus.ram import PAGE_SIZE
from tests.enclave_sim.time_travel.navigation.writing_kernel import kernel

ASLEEP = AfterEvent("wake_scheduled")
INPUTS = (
    SensorValue(at_ns=2_500, after=ASLEEP, sensor=0, value=3),
    ExternalInterrupt(at_ns=2_500, after=ASLEEP),
    ExternalInterrupt(at_ns=31, after=AfterEvent("interrupt_returned")),
    SensorValue(at_ns=0, after=AfterEvent("interrupt_returned"), sensor=1, value=7),
)
NAMES = (*(f"XMM{number}" for number in range(16)), *(f"ST{number}" for number in range(8)))
OTHERS = (
    "FPSW",
    "FPCW",
    "MXCSR",
    "RFLAGS",
    "RIP",
    "CR0",
    "CR2",
    "CR3",
    "CR4",
    "CR8",
    "DR0",
    "DR6",
    "DR7",
    "FS_BASE",
    "GS_BASE",
)
SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs", "tr", "ldtr")
RUNS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "enclave": (
        lambda: Session("counter", cycles=2, quantum_ns=1000, inputs=INPUTS),
        {"event": "wake_scheduled"},
        500,
    ),
    "flat guest": (
        lambda: Session("runner", engine="native", cycles=2, quantum_ns=1000),
        {"event": "ring_transition"},
        500,
    ),
    "tampered": (lambda: Session("counter", inputs=(Tamper(at_ns=1_389_433),)), {"at_ns": 1_389_133}, 500),
    "kernel": (lambda: Travel(lambda log: BareKernel("kernel", kernel(), ram_bytes=8 << 20, recorder=log)), {}, 400),
}


def state(run: Travel[Any]) -> tuple[Any, ...]:
    """All of the machine that software can see, and the number of events."""
    machine, registers = run.machine, run.machine.cpu.registers
    read = machine.cpu.read_register
    segments = [getattr(registers, name) for name in SEGMENTS]
    used = machine.ram.nonzero_pages()
    pages = [machine.ram.read(page, PAGE_SIZE) for page in used]
    return (
        *(read(name.upper()) for name in GENERAL_REGISTERS),
        *(read(name) for name in (*NAMES, *OTHERS)),
        *((one.selector, one.base, one.limit, one.flags) for one in segments),
        repr(machine.msrs.save_state()),
        hashlib.sha256(repr(used).encode() + b"".join(pages)).hexdigest(),
        [repr({**device.save_state(), "_vmm": None}) for device in machine.bus.devices],
        (machine.halted, machine.mode, machine.clock.now_ns, machine.cpu.hook.retired),
        len(run.events),
    )


@functools.cache
def forwards(name: str, share: Callable[[int], int]) -> tuple[Travel[Any], dict[Position, tuple[Any, ...]]]:
    """A run, and its states by position, found by single steps."""
    make, begin, count = RUNS[name]
    run, found = make(), {}
    if begin:
        run.run_to(**begin)
    for _ in range(share(count)):
        found[run.now] = state(run)
        try:
            run.step()
        except NoSuchPosition:
            break
    return make(), found


MOVES = st.tuples(
    st.sampled_from(
        ["go_to", "at_ns", "back", "step", "event", "back_event", "address", "back_address", "over", "out"]
    ),
    st.integers(0, 10_000),
)


def move(run: Travel[Any], positions: list[Position], kind: str, number: int) -> None:
    position = positions[number % len(positions)]
    match kind:
        case "go_to":
            run.go_to(position)
        case "at_ns":
            run.go_to(positions[0])
            run.run_to(at_ns=position.at_ns)
        case "back" | "step":
            getattr(run, kind)(number % 7)
        case "event" | "back_event":
            going = run.run_to if kind == "event" else run.reverse_to
            going(event=["halted", "interrupt_delivered", "input_taken", "ring_transition"][number % 4])
        case "address" | "back_address":
            here = run.now
            run.go_to(position)
            address = run.machine.cpu.linear_rip
            run.go_to(here)
            (run.run_to if kind == "address" else run.reverse_to)(address=address)
        case "over":
            run.step_over()
        case _:
            run.step_out()


@pytest.mark.parametrize("name", RUNS)
@settings(max_examples=15)
@given(walk=st.lists(MOVES, min_size=1, max_size=8))
def test_a_position_is_one_state_however_it_is_reached(
    name: str, share: Callable[[int], int], walk: list[tuple[str, int]]
) -> None:
    run, known = forwards(name, share)
    positions = sorted(known)
    run.go_to(positions[0])
    for kind, number in walk:
        try:
            move(run, positions, kind, number)
        except NoSuchPosition:
            continue
        if positions[0] <= run.now <= positions[-1]:
            assert run.now in known
            assert state(run) == known[run.now]
