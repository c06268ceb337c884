"""Recordings: what is written is what is read, and no damage goes unseen."""

import hashlib
import typing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_sim import Enclave
from enclave_sim.events import AnyEvent
from enclave_sim.recording import Digest, RecordingError, read_events, read_header


@pytest.fixture(scope="module")
def enclave() -> Enclave:
    enclave = Enclave("counter", cycles=2)
    enclave.run()
    return enclave


@pytest.fixture(scope="module")
def saved(enclave: Enclave, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("recordings") / "run.jsonl"
    assert enclave.recording is not None
    enclave.recording.save(path)
    return path.read_bytes()


def test_what_is_read_is_what_happened(enclave: Enclave, saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(saved)
    assert enclave.recording is not None
    assert list(read_events(path)) == enclave.recording.events
    assert read_header(path).configuration == enclave.header.configuration


def test_the_digest_is_the_sha256_of_all_lines_but_the_last(enclave: Enclave, saved: bytes) -> None:
    lines = saved.splitlines(keepends=True)
    digest = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    assert digest == enclave.run().digest
    assert enclave.recording is not None
    assert digest == enclave.recording.digest
    assert msgspec.json.decode(lines[-1]) == {"kind": "trailer", "events": len(lines) - 2, "sha256": digest}


def test_streaming_to_a_file_gives_the_same_bytes(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "streamed.jsonl"
    with path.open("wb") as file:
        Enclave("counter", cycles=2, record=False, digest=lambda header: Digest(header, file)).run()
    assert path.read_bytes() == saved


def test_events_are_numbered_without_gaps_and_never_go_back_in_time(enclave: Enclave) -> None:
    assert enclave.recording is not None
    events = enclave.recording.events
    assert [event.seq for event in events] == list(range(len(events)))
    times = [event.at_ns for event in events]
    assert times == sorted(times)


def test_every_kind_of_event_has_a_tag_of_its_own_and_says_what_it_means() -> None:
    kinds = typing.get_args(AnyEvent)
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert len(set(tags)) == len(kinds)
    assert all(kind.__doc__ for kind in kinds)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_seen(saved: bytes, tmp_path: Path, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(saved) - 1))
    lines = saved.splitlines(keepends=True)
    first, second = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    swapped = list(lines)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    damage = {
        "flip": saved[:at] + bytes([saved[at] ^ data.draw(st.integers(1, 255))]) + saved[at + 1 :],
        "cut": saved[:at],
        "drop": b"".join(lines[:first] + lines[first + 1 :]),
        "swap": b"".join(swapped),
        "double": b"".join([*lines[: first + 1], *lines[first:]]),
    }[data.draw(st.sampled_from(["flip", "cut", "drop", "swap", "double"]))]
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(damage)
    if damage in (saved, saved[:-1]):  # a lost last line break changes nothing that is said
        return
    with pytest.raises(RecordingError) as caught:
        list(read_events(path))
    assert "\n" not in str(caught.value)
