"""The flat guest that ring 3 executes is the configured one: staging is checked at the start of every cycle."""

import pytest

from enclave_sim.events import CycleBegan, GuestReplaced
from enclave_sim.guarantees import admitted, observe
from enclave_sim.guarantees.watchers.measurement import MeasurementWatcher
from enclave_sim.memory_map import region
from enclave_sim.specification import EngineName
from machine.events import Event, RingTransition
from machine.machine import Machine
from payloads import read_flat
from tests.enclave_sim.guarantees.spoiling import byte, enters_ring_3, spoilt

GUEST, STAGING = "surveyor", region("staging")


def test_each_cycle_is_looked_at_once() -> None:
    assert admitted([observe(GUEST, engine="native", cycles=3)]).check().looked_at == {"runs": 1, "payloads": 3}


@pytest.mark.parametrize("place", ["first", "last", "after it", "end"])
def test_another_byte_in_staging_is_found(place: str) -> None:
    size = len(read_flat(GUEST))
    offset = {"first": 0, "last": size - 1, "after it": size, "end": STAGING.size - 1}[place]
    report = admitted([spoilt(enters_ring_3, byte(STAGING.base + offset), GUEST, engine="native")])
    assert [finding.what for finding in report.findings] == [
        "a flat guest runs that is not the one the command line names"
    ]


def test_of_a_webassembly_guest_nothing_of_staging_is_looked_at() -> None:
    assert admitted([observe("counter", cycles=2)]).check().looked_at == {"runs": 1, "payloads": 1}


BEGAN, REPLACED = CycleBegan(0, 0, 0), GuestReplaced(0, 0, 0, "", 0)
ENTERED, LEFT = (RingTransition(0, 55, 3 - ring, ring, "", None, None, 0, 0) for ring in (3, 0))


@pytest.mark.parametrize(
    ("native", "happened", "looked"),
    [
        (True, [BEGAN, ENTERED], 1),
        (True, [BEGAN, LEFT], 0),
        (True, [BEGAN, LEFT, ENTERED], 1),
        (True, [ENTERED], 0),
        (True, [BEGAN, ENTERED, ENTERED], 1),
        (True, [BEGAN, ENTERED, LEFT, ENTERED, BEGAN, ENTERED], 2),
        (True, [REPLACED, BEGAN, ENTERED], 0),
        (True, [BEGAN, REPLACED, ENTERED], 0),
        (False, [BEGAN, ENTERED], 0),
        (False, [BEGAN, LEFT], 0),
    ],
)
def test_a_flat_guest_is_looked_at_where_it_is_entered_afresh(
    machine: Machine, native: bool, happened: list[Event], looked: int
) -> None:
    watcher = MeasurementWatcher()
    watcher.machine, watcher.payload = machine, b"another guest"
    watcher.engine = EngineName.NATIVE if native else EngineName.WASMTIME
    for event in happened:
        watcher.handlers()[type(event)](event)
    assert watcher.looked_at["flat guests"] == len(watcher.findings) == looked
    assert {finding.at_ns for finding in watcher.findings} == ({55} if looked else set())
