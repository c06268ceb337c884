"""Probes contain what a context can see: registers, and digests of accessible pages."""

from hashlib import sha256

import pytest

import firmware
from enclave_sim.events import CycleBegan
from enclave_sim.guarantees.watchers.interference import STATUS_RECORDS, InterferenceWatcher, Probe
from enclave_sim.memory_map import region
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.bus.ram import PAGE_SIZE
from machine.events import Event, Halted, RingTransition
from machine.machine import Machine
from tests.enclave_sim.guarantees.spoiling import field, memory


@pytest.fixture
def watcher(machine: Machine) -> InterferenceWatcher:
    watching = InterferenceWatcher()
    watching.machine = machine
    return watching


def given(watcher: InterferenceWatcher, *happened: Event) -> list[Probe]:
    before = len(watcher.probes)
    for event in happened:
        watcher.handlers()[type(event)](event)
    assert watcher.looked_at["probes"] == len(watcher.probes)
    return watcher.probes[before:]


BEGAN, ENTERED = CycleBegan(0, 3, 7), RingTransition(0, 55, 0, 3, "interrupt_return", None, None, 0, 0)
LEFT, ASLEEP, DORMANT = (
    RingTransition(0, 55, 3, 0, "exception", 1, None, 0, 0),
    Halted(0, 66, True),
    Halted(0, 66, False),
)


def seen(probe: Probe) -> dict[str, bytes | int]:
    """The pages of a probe."""
    return {name: value for name, value in probe.seen.items() if "page" in name}


def test_a_guest_is_probed_where_its_cycle_enters_ring_3_first(watcher: InterferenceWatcher) -> None:
    assert given(watcher, ENTERED) == []
    (probe,) = given(watcher, BEGAN, LEFT, ENTERED, LEFT, ENTERED)
    assert (probe.what, probe.at_ns) == ("the guest of cycle 7 at its entry", 55)


def test_the_enclave_is_probed_where_it_sleeps_and_not_where_it_is_dormant(watcher: InterferenceWatcher) -> None:
    assert given(watcher, DORMANT) == []
    first, second = given(watcher, ASLEEP, ASLEEP)
    assert first == second
    assert (first.what, first.at_ns) == ("the sleeping enclave", 66)


def test_registers_and_flags_are_seen(machine: Machine, watcher: InterferenceWatcher) -> None:
    with field(machine.cpu.registers, "r15", 0x1234), field(machine.cpu, "rflags", 0x246):
        (probe,) = given(watcher, ASLEEP)
    assert {name for name in probe.seen if "page" not in name} == {
        *(name.upper() for name in GENERAL_REGISTERS), "RFLAGS", "XMM", *STATUS_RECORDS.values(),
    }  # fmt: skip
    assert (probe.seen["R15"], probe.seen["RFLAGS"]) == (0x1234, 0x246)
    assert probe.seen["XMM"] == sha256(bytes(len(machine.cpu.context.vector_registers))).digest()


PLACES = [(each, place) for each in ("gate", "guest_stack", "heap", "data", "staging") for place in ("first", "last")]


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_a_guest_sees_its_own_regions_and_the_sleeping_kernel_all_but_the_payloads(
    machine: Machine, watcher: InterferenceWatcher, name: str, place: str
) -> None:
    where = region(name)
    address = where.base if place == "first" else where.end - 1
    page = f"{name}, page {address & -PAGE_SIZE:#x}"
    spoilt = bytes([machine.ram.read(address, 1)[0] ^ 0x40])
    for event, sees in ((ENTERED, name in ("gate", "guest_stack", "heap")), (ASLEEP, name != "staging")):
        (before,) = given(watcher, BEGAN, event)
        with memory(machine, address, spoilt):
            (after,) = given(watcher, BEGAN, event)
            content = machine.ram.read(address & -PAGE_SIZE, PAGE_SIZE)
        changed = {one for one in seen(before) | seen(after) if seen(before).get(one) != seen(after).get(one)}
        assert changed == ({page} if sees else set())
        if sees and name != "data":
            assert after.seen[page] == sha256(content).digest()


def test_memory_outside_of_all_regions_is_seen_by_the_kernel(machine: Machine, watcher: InterferenceWatcher) -> None:
    with memory(machine, 0x30_0000, b"\1"):
        (probe,) = given(watcher, ASLEEP)
        assert "unmapped, page 0x300000" in seen(probe)
        (probe,) = given(watcher, BEGAN, ENTERED)
        assert "unmapped, page 0x300000" not in seen(probe)


def test_the_log_of_measurements_is_not_seen(machine: Machine, watcher: InterferenceWatcher) -> None:
    log = firmware.built_in().symbols["event_log"]
    (before,) = given(watcher, ASLEEP)
    with memory(machine, log + 5, bytes([machine.ram.read(log + 5, 1)[0] ^ 1])):
        (after,) = given(watcher, ASLEEP)
    assert before == after
