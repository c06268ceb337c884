"""Snapshots along a run are found by position and by event, share equal data, and stay few and small."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline import snapshots
from enclave_sim.time_travel.timeline.snapshots import KeptSnapshot, Snapshots
from machine.bus.ram import RamImage


class Machine(msgspec.Struct, frozen=True):
    ram: RamImage


class Snapshot(msgspec.Struct, frozen=True):
    machine: Machine


def mark(at_ns: int, *runs: bytes) -> KeptSnapshot:
    image = RamImage(tuple((number << 20, data) for number, data in enumerate(runs)))
    return KeptSnapshot(Position(at_ns), at_ns // 10, Snapshot(Machine(image)))


def runs(one: KeptSnapshot) -> list[bytes]:
    image: RamImage = one.snapshot.machine.ram
    return [data for _, data in image.runs]


@given(st.sets(st.integers(0, 10_000), min_size=1, max_size=600), st.integers(0, 12_000))
def test_the_nearest_before_a_position_is_found_and_the_first_and_the_last_stay(times: set[int], goal: int) -> None:
    kept = Snapshots()
    for at_ns in (0, *sorted(times - {0})):
        kept.put(mark(at_ns))
    positions = kept.positions
    assert list(positions) == sorted(positions)
    assert positions[0] == Position(0)
    assert positions[-1] == Position(max(times))
    assert len(positions) <= 512
    assert kept.before(Position(goal)).position == max(one for one in positions if one <= Position(goal))
    assert kept.before_event(goal // 10).seen <= goal // 10
    assert all(kept.has(one) for one in positions)
    assert not kept.has(Position(20_000))


def test_what_is_the_same_is_kept_once() -> None:
    kept = Snapshots()
    kept.put(mark(0, bytes(1000), b"a" * 1000))
    kept.put(mark(10, bytes(1000), b"b" * 1000))
    first, second = kept.before(Position(0)), kept.before(Position(10))
    assert runs(first)[0] is runs(second)[0]
    assert runs(second) == [bytes(1000), b"b" * 1000]


def test_they_stay_within_so_many_bytes_and_shared_ones_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_MAX_BYTES", 10_000)
    kept, shared = Snapshots(), Snapshots()
    for at_ns in range(0, 1000, 10):
        kept.put(mark(at_ns, at_ns.to_bytes(1000, "little")))
        shared.put(mark(at_ns, b"the same" * 125))
    assert 2 < len(kept.positions) <= 10
    assert len(shared.positions) == 100
    assert (kept.positions[0], kept.positions[-1]) == (Position(0), Position(990))
