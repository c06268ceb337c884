"""The watcher of isolation on a machine at a guest's first instruction, one event after the other."""

from typing import Any

import pytest

import firmware
from enclave_sim.events import InputTaken, PhaseCompleted
from enclave_sim.guarantees.watchers.isolation import IsolationWatcher
from enclave_sim.memory_map import region
from enclave_sim.specification import EngineName
from machine.bus.ram import PAGE_SIZE
from machine.events import Event, Halted, InterruptDelivered, InterruptRaised, RegisterWritten, RingTransition
from machine.machine import Machine
from tests.enclave_sim.guarantees.spoiling import field, memory


@pytest.fixture
def watcher(machine: Machine) -> IsolationWatcher:
    watching = IsolationWatcher()
    watching.machine = machine
    return watching


def given(watcher: IsolationWatcher, event: Event) -> list[str]:
    """A watcher's findings for an event."""
    before = len(watcher.findings)
    watcher.handlers()[type(event)](event)
    assert all(finding.at_ns == event.at_ns for finding in watcher.findings[before:] if finding.at_ns)
    return [finding.what for finding in watcher.findings[before:]]


def entered(ring: int = 3) -> RingTransition:
    return RingTransition(0, 55, 3 - ring, ring, "interrupt_return", None, None, 0, 0)


def raised(ring: int = 3, source: Any = "exception", vector: int = 14) -> InterruptRaised:
    return InterruptRaised(0, 66, vector, source, None, None, 0, ring)


PT = firmware.layout()["PT_KERNEL"] + 8 * (region("data").base >> 12)
"""The entry of the kernel's first page of data."""


def test_page_tables_are_audited_when_cr3_is_written_in_long_mode(
    machine: Machine, watcher: IsolationWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = machine.ram.read(PT, 1)
    assert given(watcher, RegisterWritten(0, 5, "CR3", 0, 0, 0)) == []
    assert watcher.looked_at == {"page tables": 1}
    assert given(watcher, PhaseCompleted(0, 5, "WASM_INIT", "", 0)) == given(watcher, entered()) == []
    assert watcher.looked_at["page tables"] == 1
    with memory(machine, PT, bytes([entry[0] | 4])):
        for other in ("CR0", "CR4", "DR7", "EFER"):
            assert given(watcher, RegisterWritten(0, 5, other, 0, 0, 0)) == []
        with monkeypatch.context() as patch:
            patch.setattr(type(machine), "mode", "protected")
            assert given(watcher, RegisterWritten(0, 5, "CR3", 0, 0, 0)) == []
        (what,) = given(watcher, RegisterWritten(0, 5, "CR3", 0, 0, 0))
        assert what.startswith(f"page tables at {machine.cpu.registers.cr[3]:#x}: ring 3 reaches data: ")
        assert watcher.findings[-1].evidence == ()
        assert given(watcher, RegisterWritten(0, 5, "CR3", 0, 0, 0)) == []
    assert watcher.looked_at["page tables"] == 2


def test_the_first_fault_is_the_finding_and_the_others_its_evidence(
    machine: Machine, watcher: IsolationWatcher
) -> None:
    entries = machine.ram.read(PT, 16)
    with memory(machine, PT, bytes([entries[0] | 4, *entries[1:8], entries[8] | 4, *entries[9:]])):
        (what,) = given(watcher, PhaseCompleted(0, 5, "WASM_INIT", "", 0))
    assert f"{region('data').base:#x} -> " in what
    (other,) = watcher.findings[-1].evidence
    assert other.startswith(f"ring 3 reaches data: {region('data').base + PAGE_SIZE:#x} -> ")


@pytest.mark.parametrize("offset", [0, 0xFFF])
def test_all_of_the_page_tables_are_looked_at_and_the_flags_of_cr3_are_no_address(
    machine: Machine, watcher: IsolationWatcher, offset: int
) -> None:
    tables = region("page_tables")
    given(watcher, PhaseCompleted(0, 5, "WASM_INIT", "", 0))
    with memory(machine, tables.end - 1, b"\x40"):
        given(watcher, PhaseCompleted(0, 5, "WASM_INIT", "", 0))
    with field(machine.cpu.registers.cr, 3, machine.cpu.registers.cr[3] | offset):
        assert given(watcher, PhaseCompleted(0, 5, "WASM_INIT", "", 0)) == []
    assert watcher.looked_at["page tables"] == 2 + bool(offset)
    last = tables.end - PAGE_SIZE + offset
    with field(machine.cpu.registers.cr, 3, last):
        assert not [w for w in given(watcher, PhaseCompleted(0, 5, "WASM_INIT", "", 0)) if "outside" in w]


def test_a_flat_guest_may_be_executed_in_staging(machine: Machine, watcher: IsolationWatcher) -> None:
    with memory(machine, PT, (region("staging").base | 5).to_bytes(8, "little")):
        (what,) = given(watcher, PhaseCompleted(0, 5, "WASM_INIT", "", 0))
        assert "ring 3 reaches staging" in what
        watcher.engine = EngineName.NATIVE
        watcher._audited.clear()
        assert given(watcher, PhaseCompleted(0, 5, "WASM_INIT", "", 0)) == []


def test_the_kernel_that_halts_with_ac_is_found(machine: Machine, watcher: IsolationWatcher) -> None:
    assert given(watcher, Halted(0, 5, True)) == []
    with field(machine.cpu, "rflags", 1 << 18):
        assert given(watcher, Halted(0, 5, True)) == ["the kernel runs with AC set: SMAP is suspended"]


def test_what_is_wrong_where_ring_3_is_entered_is_found_there(machine: Machine, watcher: IsolationWatcher) -> None:
    with field(machine.cpu, "rflags", 2):
        assert given(watcher, entered(0)) == []
        assert given(watcher, entered()) == ["ring 3 runs with interrupts off"]
        assert watcher.findings[-1].at_ns == 55


@pytest.mark.parametrize("leaving", [entered(0), raised(), InputTaken(0, 77, "sensor_value", None)])
def test_each_stay_in_ring_3_is_compared_once(machine: Machine, watcher: IsolationWatcher, leaving: Event) -> None:
    address = region("data").base
    given(watcher, entered())
    with memory(machine, address, bytes([machine.ram.read(address, 1)[0] ^ 1])):
        assert given(watcher, leaving) == ["ring 3 changed data"]
        assert watcher.findings[-1].at_ns == leaving.at_ns
        assert watcher.looked_at["stays in ring 3"] == 1
        assert given(watcher, leaving) == []
    stays_on = isinstance(leaving, InputTaken)
    assert watcher.looked_at["stays in ring 3"] == 1 + stays_on
    found = given(watcher, raised())
    assert found == (["ring 3 changed data"] if stays_on else [])


@pytest.mark.parametrize("ring", [0, 1, 2])
def test_what_happens_in_another_ring_ends_no_stay(machine: Machine, watcher: IsolationWatcher, ring: int) -> None:
    address = region("data").base
    given(watcher, entered())
    with memory(machine, address, bytes([machine.ram.read(address, 1)[0] ^ 1])):
        assert given(watcher, raised(ring)) == []
        assert given(watcher, raised(3)) == ["ring 3 changed data"]


@pytest.mark.parametrize(("kind", "memory_too"), [("memory_fault", False), ("guest_replaced", False), ("tamper", True)])
def test_memory_is_not_compared_where_an_input_has_changed_it(
    machine: Machine, watcher: IsolationWatcher, kind: str, memory_too: bool
) -> None:
    address = region("data").base
    given(watcher, entered())
    changed = bytes([machine.ram.read(address, 1)[0] ^ 1])
    with memory(machine, address, changed), field(machine.cpu.registers, "efer", 0x500):
        found = given(watcher, InputTaken(0, 77, kind, None))
    assert found == ["ring 3 changed EFER"] + ["ring 3 changed data"] * memory_too


HOST_CALL = firmware.layout()["VECTOR_HOST_CALL"]


@pytest.mark.parametrize(
    ("ring", "source", "vector", "delivered", "found"),
    [
        (3, "software", 0x21, 0x21, True),
        (3, "software", HOST_CALL, HOST_CALL, False),
        (3, "software", 0x21, 0x22, False),
        (3, "exception", 14, 14, False),
        (0, "software", 0x21, 0x21, False),
    ],
)
def test_an_int_of_ring_3_is_the_host_call(
    watcher: IsolationWatcher, ring: int, source: str, vector: int, delivered: int, found: bool
) -> None:
    assert given(watcher, raised(ring, source, vector)) == []
    what = [f"ring 3 entered the kernel by INT {vector:#x}"] if found else []
    assert given(watcher, InterruptDelivered(0, 5, delivered, 0, 0)) == what
    given(watcher, raised(3, "exception", 13))
    assert given(watcher, InterruptDelivered(0, 5, vector, 0, 0)) == []


@pytest.mark.parametrize("at", [0, 1, 15, 16, 4079, 4080, 4081, 4095])
def test_a_change_is_shown_from_its_first_byte_on_sixteen_at_most(
    machine: Machine, watcher: IsolationWatcher, at: int
) -> None:
    page = 0x30_0000
    given(watcher, entered())
    with memory(machine, page + at, b"\x77"):
        given(watcher, raised())
    before, now = watcher.findings[-1].evidence
    count = min(16, 4096 - at)
    assert before == f"before {page + at:#010x}  {' '.join(['00'] * count):<47}  {'.' * count}"
    assert now == f"now    {page + at:#010x}  {' '.join(['77'] + ['00'] * (count - 1)):<47}  {'w' + '.' * (count - 1)}"


def test_a_page_is_compared_with_what_it_held(machine: Machine, watcher: IsolationWatcher) -> None:
    page = 0x30_0000
    with memory(machine, page, b"\1" * 4 * PAGE_SIZE):
        given(watcher, entered())
        for number in range(4):
            with memory(machine, page + number * PAGE_SIZE + 5, b"\2"):
                given(watcher, entered())
                machine.ram.write(page + number * PAGE_SIZE + 5, b"\3")
                given(watcher, raised())
                assert [line.split()[2:4] for line in watcher.findings[-1].evidence] == [["02", "01"], ["03", "01"]]
