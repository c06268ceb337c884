"""What ring 3 must leave alone is compared where it is left: each register, each region, and every device."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import firmware
from enclave_sim.events import InputTaken, PhaseCompleted
from enclave_sim.guarantees import Report, isolated, observe
from enclave_sim.guarantees.observation import Observer, Scenario
from enclave_sim.guarantees.watchers.isolation import IsolationWatcher
from enclave_sim.inputs import AnyInput, ExternalInterrupt, MemoryFault, SensorValue
from enclave_sim.memory_map import region, regions
from machine.bus.ram import PAGE_SIZE
from machine.events import Event, Halted, InterruptDelivered, InterruptRaised, RegisterWritten, RingTransition
from machine.instructions.system.msrs import IA32_TSC_AUX
from machine.machine import Machine
from tests.enclave_sim.guarantees.spoiling import (
    Change,
    byte,
    control,
    debug,
    enters_ring_3,
    field,
    memory,
    spoilt,
    state,
)


def leaves_ring_3(event: Event) -> bool:
    return isinstance(event, InterruptRaised) and event.ring == 3


def found(change: Change, wanted: Callable[[Event], bool] = leaves_ring_3) -> Report:
    return isolated([spoilt(wanted, change)])


def attribute(of: Callable[[Machine], Any], name: str, value: Any) -> Change:
    def change(machine: Machine) -> Callable[[], None]:
        holder = of(machine)
        before = getattr(holder, name)
        setattr(holder, name, value)
        return lambda: setattr(holder, name, before)

    return change


def msr(number: int, value: int) -> Change:
    def change(machine: Machine) -> Callable[[], None]:
        before = machine.msrs.read(number)
        machine.msrs.write(number, value)
        return lambda: machine.msrs.write(number, before)

    return change


def an_access_to_a_device(machine: Machine) -> Callable[[], None]:
    machine.bus.accesses += 1
    return lambda: None


REGISTERS: dict[str, Change] = {
    "CR0": control(0, 0x8001_0031),
    "CR3": control(3, 0x1000),
    "CR4": control(4, 0x1234),
    **{name.upper(): state(f"{name}.limit", 3) for name in ("gdtr", "idtr", "ldtr", "tr")},
    "EFER": state("efer", 0x500),
    "FS base": state("fs.base", 1),
    "GS base": state("gs.base", 1),
    **{f"DR{number}": debug(number, 0x1000) for number in range(4)},
    "DR7": debug(7, 0x401),
    "TSC_AUX": msr(IA32_TSC_AUX, 7),
    "a device, by so many accesses": an_access_to_a_device,
    "TSC offset": attribute(lambda machine: machine.cpu.time_stamp_counter, "offset", 7),
}


@pytest.mark.parametrize("name", REGISTERS)
def test_a_register_of_the_kernel_that_ring_3_changes_is_found_with_both_values(name: str) -> None:
    (finding,) = found(REGISTERS[name]).findings
    assert finding.what == f"ring 3 changed {name}"
    before, now = finding.evidence
    assert before.startswith("before ")
    assert now.startswith("now    ")
    assert before[7:] != now[7:]


def test_dr6_is_the_processors_own_and_may_change() -> None:
    assert found(debug(6, 0xFFFF_0FF1)).holds


OTHERS = [each for each in regions() if each.name not in ("guest_stack", "heap")]


@pytest.mark.parametrize("name", [each.name for each in OTHERS if each.size])
@pytest.mark.parametrize("last", [False, True])
def test_a_byte_outside_of_the_guests_regions_that_ring_3_changes_is_found(name: str, last: bool) -> None:
    where = region(name)
    address = where.end - 1 if last else where.base
    report = found(byte(address))
    (finding,) = report.findings
    assert finding.what == f"ring 3 changed {name}"
    before, now = (line.split() for line in finding.evidence)
    assert before[:2] == ["before", f"{address:#010x}"]
    assert now[:2] == ["now", f"{address:#010x}"]
    assert int(before[2], 16) ^ int(now[2], 16) == 0x40


def test_memory_that_is_nobodys_is_not_ring_3s_either() -> None:
    (finding,) = found(byte(0x30_0000)).findings
    assert finding.what == "ring 3 changed memory outside all regions"


@pytest.mark.parametrize("name", ["guest_stack", "heap"])
def test_a_guest_may_change_its_stack_and_its_heap(name: str) -> None:
    assert found(byte(region(name).base)).holds
    assert found(byte(region(name).end - 1)).holds


def test_bytes_are_shown_from_the_first_of_a_page_that_changed() -> None:
    def change(machine: Machine) -> Callable[[], None]:
        first, second = (byte(region("data").base + at)(machine) for at in (0x4F05, 0x4F40))

        def mend() -> None:
            first()
            second()

        return mend

    (finding,) = found(change).findings
    assert all(f" {region('data').base + 0x4F05:#010x} " in line for line in finding.evidence)


def test_what_is_compared_with_is_what_was_there_at_the_entry() -> None:
    assert [finding.what for finding in found(state("gs.base", 1), enters_ring_3).findings] == [
        "ring 3 changed GS base"
    ]


def test_what_an_input_changes_is_not_put_down_to_ring_3() -> None:
    """An input ends a stay: what came before it is compared, and it begins another."""
    during = 1_340_000
    calm = observe("spinner", limit_ns=2_000_000)
    upset: list[AnyInput] = [MemoryFault(at_ns=during, address=0x30_0000, bits=1)]
    others: list[AnyInput] = [ExternalInterrupt(at_ns=during), SensorValue(at_ns=during, sensor=0, value=7)]
    for inputs in (upset, others):
        run = observe("spinner", inputs=inputs, limit_ns=2_000_000)
        assert isolated([run]).holds
        assert run.looked_at["isolation"]["stays in ring 3"] > calm.looked_at["isolation"]["stays in ring 3"]


class Renaming(Observer):
    """Shows the watchers other vectors than those that were taken."""

    def __init__(self, raised: int, delivered: int) -> None:
        super().__init__()
        self._vectors = raised, delivered

    def record(self, event: Event) -> None:
        if isinstance(event, InterruptRaised) and event.vector == 0x80:
            event = msgspec.structs.replace(event, vector=self._vectors[0])
        elif isinstance(event, InterruptDelivered) and event.vector == 0x80:
            event = msgspec.structs.replace(event, vector=self._vectors[1])
        super().record(event)


@pytest.mark.parametrize(
    ("raised", "delivered", "entered"), [(0x80, 0x80, False), (0x21, 0x21, True), (0x21, 13, False)]
)
def test_ring_3_enters_the_kernel_by_the_host_calls_vector_alone(raised: int, delivered: int, entered: bool) -> None:
    observer, scenario = Renaming(raised, delivered), Scenario("beacon")
    enclave = scenario.enclave(observer)
    observer.attach(enclave)
    report = isolated([observer.run(enclave, scenario)])
    whats = {finding.what for finding in report.findings}
    assert whats == ({"ring 3 entered the kernel by INT 0x21"} if entered else set())


@pytest.mark.parametrize(("base", "inside"), [(-0x1000, False), (0, True), (None, False)])
def test_cr3_outside_of_the_measured_tables_is_found(base: int | None, inside: bool) -> None:
    tables = region("page_tables")
    cr3 = tables.end if base is None else tables.base + base
    what = [finding.what for finding in found(control(3, cr3), enters_ring_3).findings]
    outside = f"CR3 {cr3:#x} is outside of the measured page tables"
    assert (outside in what) != inside


# One machine at a guest's first instruction, and one event after the other


@pytest.fixture
def watcher(machine: Machine) -> IsolationWatcher:
    watching = IsolationWatcher()
    watching.machine = machine
    return watching


def given(watcher: IsolationWatcher, event: Event) -> list[str]:
    """What a watcher finds of an event."""
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
        watcher.native = True
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
