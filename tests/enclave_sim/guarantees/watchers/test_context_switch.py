"""Data left by a switch is found, register by register: each is corrupted while the watcher looks."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from enclave_sim import events as aether
from enclave_sim.guarantees import observe, zero_trace
from enclave_sim.guarantees.report import Finding
from enclave_sim.guarantees.watchers.context_switch import ContextSwitchWatcher
from enclave_sim.inputs import ExternalInterrupt
from enclave_sim.memory_map import region
from machine.events import Event, Halted, InterruptRaised
from machine.machine import Machine
from tests.enclave_sim.conftest import signed
from tests.enclave_sim.guarantees.spoiling import (
    Change,
    byte,
    control,
    debug,
    engine,
    enters_ring_3,
    flags,
    spoilt,
    state,
)
from tests.sampling import sampled

GENERAL = "RAX RBX RCX RDX RSI RDI RBP R8 R9 R10 R11 R12 R13 R14 R15".split()


def found(
    wanted: Callable[[Event], bool], change: Change, payload: str | bytes = "counter", **options: Any
) -> list[str]:
    """The findings of zero trace for a run that is corrupted at one event."""
    return [finding.what for finding in zero_trace([spoilt(wanted, change, payload, **options)]).findings]


class After:
    """Matches the first entry into ring 3 after an exit by one of these vectors."""

    def __init__(self, vectors: Callable[[int], bool]) -> None:
        self._vectors = vectors
        self._left = False

    def __call__(self, event: Event) -> bool:
        if isinstance(event, InterruptRaised) and event.ring == 3:
            self._left = self._vectors(event.vector)
        return self._left and enters_ring_3(event)


def after_a_host_call() -> After:
    return After(lambda vector: vector == 0x80)


def after_an_interrupt() -> After:
    return After(lambda vector: vector != 0x80)


def counter() -> str:
    return "counter"


@cache
def busy() -> bytes:
    """A guest that is interrupted a single time, unlike the spinner."""
    loop = "(loop $again (br_if $again (local.tee $round (i32.sub (local.get $round) (i32.const 1)))))"
    return signed(f'(func (export "_start") (local $round i32) (local.set $round (i32.const 3000000)) {loop})')


def asleep(event: Event) -> bool:
    return isinstance(event, Halted) and event.interruptible


def dormant(event: Event) -> bool:
    return isinstance(event, Halted) and not event.interruptible


FLOATING: dict[str, Change] = {
    "an XMM register": engine("XMM15", 1 << 127),
    "x87": engine("FPCW", 0x37E),
}
FRESH: dict[str, Change] = {
    **{f"{name} = 0x1": state(name.lower(), 1) for name in GENERAL},
    **{name: state(f"{name}.selector", 0x1B) for name in ("ds", "es", "fs", "gs")},
    **FLOATING,
    "MXCSR": engine("MXCSR", 0x1FA0),
}


@pytest.mark.parametrize("name", FRESH)
def test_what_a_fresh_guest_finds_in_a_register_is_found(name: str) -> None:
    assert found(enters_ring_3, FRESH[name]) == [f"left in registers for the guest after a fresh guest: {name}"]


@pytest.mark.parametrize("name", ["RBX = 0x1", "R15 = 0x1", "an XMM register", "x87"])
def test_what_a_host_call_leaves_in_a_register_is_found(name: str) -> None:
    assert found(after_a_host_call(), FRESH[name]) == [f"left in registers for the guest after a host call: {name}"]


@pytest.mark.parametrize("name", ["RAX = 0x1", "ds", "gs", "MXCSR"])
def test_a_host_call_answers_in_rax_and_leaves_the_guest_its_segments_and_mxcsr(name: str) -> None:
    assert found(after_a_host_call(), FRESH[name]) == []


@pytest.mark.parametrize("bit", [31, 32, 63])
def test_the_answer_of_a_host_call_has_32_bits(bit: int) -> None:
    what = [] if bit < 32 else [f"a host call's answer has more than 32 bits: {1 << bit:#x}"]
    assert found(after_a_host_call(), state("rax", 1 << bit)) == what


INTERRUPTED: dict[str, Change] = {
    **{name: state(name.lower(), 0x5A5A_0001) for name in [*GENERAL, "RSP", "RIP"]},
    "CS": state("cs.selector", 0x33),
    "SS": state("ss.selector", 0x33),
    "XMM": engine("XMM0", 1 << 90),
    "x87": engine("FPCW", 0x37E),
    "MXCSR": engine("MXCSR", 0x1FA0),
    "RFLAGS": flags(1),
}
IN_THE_FRAME = {"RIP", "RSP", "CS", "SS"}


@pytest.mark.parametrize("name", sampled(INTERRUPTED, "RAX", "RSP", "RIP", "CS", "XMM", "x87", "RFLAGS"))
def test_what_an_interrupt_does_not_give_back_is_found(name: str) -> None:
    what = found(after_an_interrupt(), INTERRUPTED[name], busy())
    assert what[0] == f"an interrupt changed the guest's {name}"
    assert what[1:] == (
        ["irq_stack holds another frame than the guest's after an interrupt"] if name in IN_THE_FRAME else []
    )


@pytest.mark.parametrize("bit", sampled([0, 2, 4, 6, 7, 8, 10, 11, 16, 18, 21], 0, 10, 16))
def test_every_flag_but_rf_is_given_back(bit: int) -> None:
    """RF holds for one instruction: the processor clears it itself (SDM volume 3, 18.3.1.1)."""
    what = [] if bit == 16 else ["an interrupt changed the guest's RFLAGS"]
    assert found(after_an_interrupt(), flags(1 << bit), busy()) == what


@pytest.mark.parametrize("name", FLOATING)
def test_floating_point_that_sleeps_with_the_enclave_is_found(name: str) -> None:
    what = "floating-point registers are not zero while the enclave sleeps"
    assert found(asleep, FLOATING[name], cycles=2) == [what]
    assert found(asleep, state("rbx", 1), cycles=2) == []


DORMANT: dict[str, Change] = {
    **{f"{name} = 0x1": state(name.lower(), 1) for name in [*GENERAL, "RSP"]},
    **{f"DR{number} = 0x1000": debug(number, 0x1000) for number in range(4)},
    "CR2 = 0x1": control(2, 1),
    "FS base": state("fs.base", 1),
    "GS base": state("gs.base", 1),
    **FLOATING,
    "IDTR": state("idtr.limit", 1),
    "DR7": debug(7, 0x401),
    "DR6": debug(6, 0xFFFF_0FF1),
}


@pytest.mark.parametrize("name", DORMANT)
def test_what_is_left_in_dormant_is_found(name: str) -> None:
    assert found(dormant, DORMANT[name]) == [f"left in registers when dormant: {name}"]


@pytest.mark.parametrize("name", [name for name in DORMANT if name.startswith("DR")])
def test_debug_registers_that_are_set_while_a_guest_runs_are_cleared_before_dormant(name: str) -> None:
    """A guest cannot set them, but whoever does, the kernel leaves nothing in them."""
    values: list[int] = []

    def set_and_left(machine: Machine) -> Callable[[], None]:
        DORMANT[name](machine)
        values.append(machine.cpu.debug.read(int(name[2])))
        return lambda: None

    assert found(enters_ring_3, set_and_left) == []
    assert values == [int(name[6:], 16) if "=" in name else {"DR6": 0xFFFF_0FF1, "DR7": 0x401}[name]]


# Memory


@pytest.mark.parametrize("name", ["heap", "guest_stack", "call_stack", "irq_stack"])
def test_a_byte_that_a_fresh_guest_could_find_is_found(name: str) -> None:
    where = region(name)
    assert found(enters_ring_3, byte(where.base)) == [f"{name} is not zero when a fresh guest is entered"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "payload", "name", "what"),
    [
        (after_a_host_call, counter, "call_stack", "a host call"),
        (after_an_interrupt, busy, "irq_stack", "an interrupt"),
    ],
)
def test_the_stack_holds_the_frame_of_the_return_and_nothing_else(
    wanted: Callable[[], After], payload: Callable[[], str | bytes], name: str, what: str
) -> None:
    """The frame is the last 40 bytes: RIP, CS, RFLAGS, RSP, SS."""
    end = region(name).end
    for address in (region(name).base, end - 41):
        assert found(wanted(), byte(address), payload()) == [f"{name} is not scrubbed after {what}"]
    for word, known in enumerate([True, True, False, True, True]):
        text = [f"{name} holds another frame than the guest's after {what}"] if known else []
        assert found(wanted(), byte(end - 40 + 8 * word), payload()) == text


@pytest.mark.parametrize("offset", [0, 1, 4095 - 64, 4096 - 64, 4095, 4096])
def test_what_is_left_in_memory_is_shown_from_its_first_byte_on_64_at_most(offset: int) -> None:
    address = region("heap").base + offset
    (finding,) = zero_trace([spoilt(enters_ring_3, byte(address))]).findings
    first, *others = finding.evidence
    assert first.startswith(f"{address:#010x}  40")
    count = min(64, 4096 - offset % 4096)
    assert sum(len(line.split("  ")[1].split()) for line in finding.evidence) == count
    assert len(others) == (count - 1) // 16
    assert finding.at_ns is not None


def test_a_frame_that_is_not_the_guests_is_shown_whole() -> None:
    end = region("call_stack").end
    (finding,) = zero_trace([spoilt(after_a_host_call(), byte(end - 40))]).findings
    assert [line.split()[0] for line in finding.evidence] == [f"{at:#010x}" for at in (end - 40, end - 24, end - 8)]
    assert len(finding.evidence[-1].split("  ")[1].split()) == 8


def test_a_guest_that_was_never_interrupted_has_nothing_to_get_back() -> None:
    run = observe("counter", cycles=2)
    assert run.looked_at["context switches"]["interrupts"] == 0


@pytest.mark.parametrize("verified", [False, True])
def test_a_scrub_that_did_not_verify_is_found(machine: Machine, verified: bool) -> None:
    watcher = ContextSwitchWatcher()
    watcher.machine = machine
    watcher.handlers()[aether.Scrubbed](aether.Scrubbed(0, 9, "heap", 0, 1, "cycle", verified))
    what = [Finding("heap was not zero when it had been scrubbed (cycle)", 9)]
    assert watcher.findings == ([] if verified else what)
    assert watcher.looked_at == {"scrubs": 1}


@pytest.mark.parametrize("name", ["heap", "guest_stack", "arena", "call_stack", "irq_stack"])
@pytest.mark.parametrize("last", [False, True])
def test_a_byte_that_outlives_a_cycle_is_found(name: str, last: bool) -> None:
    def cycle_ends(event: Event) -> bool:
        return isinstance(event, aether.CycleEnded)

    where = region(name)
    assert found(cycle_ends, byte(where.end - 1 if last else where.base)) == [
        f"{name} is not zero at the end of cycle 0"
    ]


@pytest.mark.parametrize(
    "name",
    ["heap", "guest_stack", "arena", "call_stack", "fault_stack", "nmi_stack", "machine_check_stack", "irq_stack"],
)
def test_a_byte_that_mem_map_leaves_is_found(name: str) -> None:
    def mapped(event: Event) -> bool:
        return isinstance(event, aether.PhaseCompleted) and event.phase == "MEM_MAP"

    assert found(mapped, byte(region(name).base)) == [f"{name} is not zero when MEM_MAP reaches its target state"]


def test_each_kind_of_switch_is_counted() -> None:
    run = observe("counter", cycles=3, inputs=[ExternalInterrupt(at_ns=1_000)])
    kinds = [type(event) for event in run.events]
    looked = run.looked_at["context switches"]
    ends = kinds.count(aether.CycleEnded)
    assert (looked["fresh guests"], looked["cycle ends"], looked["dormant"]) == (ends, ends, 1)
    assert looked["sleeps"] == sum(asleep(event) for event in run.events)
    guests = ends
    assert looked["host calls"] + looked["interrupts"] + guests == sum(enters_ring_3(event) for event in run.events)
    assert looked["scrubs"] == kinds.count(aether.Scrubbed)
