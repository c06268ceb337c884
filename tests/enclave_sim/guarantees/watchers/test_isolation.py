"""State that ring 3 must not change is compared at each exit: every register, region and device."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from enclave_sim.guarantees import Report, isolated, observe
from enclave_sim.guarantees.observation import Observer, Scenario
from enclave_sim.inputs import AnyInput, ExternalInterrupt, MemoryFault, SensorValue
from enclave_sim.memory_map import GUEST_MEMORY, region, regions
from machine.events import Event, InterruptDelivered, InterruptRaised
from machine.instructions.system.msrs import IA32_TSC_AUX
from machine.machine import Machine
from tests.enclave_sim.guarantees.spoiling import (
    Change,
    byte,
    control,
    debug,
    enters_ring_3,
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


OTHERS = [each for each in regions() if each.name not in GUEST_MEMORY]


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


@pytest.mark.parametrize("name", GUEST_MEMORY)
def test_a_guest_may_change_its_own_memory(name: str) -> None:
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
    """An input ends a stay in ring 3: the state before it is compared, and a new stay begins."""
    during = 1_600_000
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
