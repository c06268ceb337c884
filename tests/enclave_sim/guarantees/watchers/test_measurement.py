"""The flat guest that ring 3 executes is the one that was given: what lies in staging, whenever a cycle begins."""

import pytest

from enclave_sim.guarantees import admitted, observe
from enclave_sim.guarantees.watchers.page_tables import staging
from payloads import read_flat
from tests.enclave_sim.guarantees.spoiling import byte, enters_ring_3, spoilt

GUEST, STAGING = "surveyor", staging()


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
