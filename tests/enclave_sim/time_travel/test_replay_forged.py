"""Forged recordings with a matching digest: a replay detects them, or says why it is impossible."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import payloads
from enclave_sim import Enclave
from enclave_sim.events import InputTaken
from enclave_sim.inputs import GuestReplaced
from enclave_sim.payload.signature import strip
from enclave_sim.recording.format import RecordingError
from enclave_sim.recording.reader import read_header
from enclave_sim.time_travel.replay import replay
from tests.enclave_sim.forging import Line, forge


def saved(enclave: Enclave, directory: Path) -> Path:
    assert enclave.recording is not None
    path = directory / "run.jsonl"
    enclave.recording.save(path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    enclave = Enclave("counter", cycles=2)
    enclave.run()
    return saved(enclave, tmp_path)


@pytest.fixture
def last(path: Path) -> int:
    """The number of its events."""
    return replay(path).events


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_forged_event_is_shown_beside_its_neighbours(path: Path, last: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, last - 1))
    way = data.draw(st.sampled_from(["time", "drop", "double"]))

    def change(lines: list[Line]) -> None:
        if way == "time":
            lines[at]["at_ns"] += data.draw(st.integers(1, 1_000_000))
        elif way == "drop":
            del lines[at]
        else:
            lines.insert(at, dict(lines[at]))

    found = replay(forge(path, change)).divergence
    assert found is not None
    assert found.first or found.second
    assert found.first[:1] != found.second[:1]
    if way == "time":
        assert (found.first[0].seq, found.second[0].seq) == (at - 1, at - 1)
        assert [event.seq for event in found.before] == list(range(max(0, at - 4), at - 1))
        assert [event.seq for event in found.first] == list(range(at - 1, min(at + 3, last)))


def test_a_recording_whose_last_event_is_missing_is_part_of_the_run(path: Path) -> None:
    assert replay(forge(path, lambda lines: lines.__delitem__(slice(-5, None)))).equal


def test_events_after_the_last_are_a_divergence(path: Path) -> None:
    found = replay(forge(path, lambda lines: lines.append(dict(lines[-1])))).divergence
    assert found is not None
    assert (len(found.first), found.second) == (1, ())


def test_another_configuration_is_another_run(path: Path) -> None:
    found = replay(forge(path, lambda lines: lines[0]["configuration"].update(cycles=1))).divergence
    assert found is not None
    assert found.second


def test_an_input_that_never_was_is_a_divergence(tmp_path: Path) -> None:
    enclave = Enclave("counter")
    enclave.boot()
    enclave.interrupt()
    enclave.run()

    def change(lines: list[Line]) -> None:
        (taken,) = (line for line in lines if line["kind"] == "input_taken")
        taken["given"]["input"] = "tamper"

    found = replay(forge(saved(enclave, tmp_path), change)).divergence
    assert found is not None
    assert isinstance(found.first[0], InputTaken)


def _configure(**changes: Any) -> Callable[[list[Line]], None]:
    return lambda lines: lines[0]["configuration"].update(changes)


def _head(**changes: Any) -> Callable[[list[Line]], None]:
    return lambda lines: lines[0].update(changes)


CANNOT_BE_MADE: dict[str, tuple[Callable[[list[Line]], None], str]] = {
    "other firmware": (_head(firmware_sha256="00" * 32), f"firmware {'00' * 32}; this program has [0-9a-f]{{64}}"),
    "a payload nobody has": (_head(payload_sha256=["11" * 32]), f"payload with SHA-256 {'11' * 32} is missing"),
    "no payload": (_head(payload_sha256=[]), "0 payloads"),
    "an anchor nobody has": (_configure(trust_anchors=["x y z"]), "trust anchors x y z are wanted"),
    "cycles": (_configure(cycles=0), "cycles is 0"),
    "type": (_configure(cycles="two"), "not one of this program"),
    "unknown": (_configure(colour="red"), "not one of this program"),
    "anchors": (_configure(trust_anchors=7), "not one of this program"),
    "engine": (_configure(engine="x"), "not one of this program"),
    "input": (_head(inputs=[{"input": "memory_fault", "at_ns": 1, "address": 1 << 40, "bits": 1}]), "there is no RAM"),
    "no enclave": (lambda lines: lines[0]["configuration"].clear(), "not the recording of an enclave"),
    "text": (lambda lines: lines[1].update(more=1), "not as this program writes them"),
}


@pytest.mark.parametrize("why", CANNOT_BE_MADE)
def test_a_run_that_cannot_be_made_is_one_clear_error(path: Path, why: str) -> None:
    change, message = CANNOT_BE_MADE[why]
    with pytest.raises(RecordingError, match=message) as caught:
        replay(forge(path, change))
    assert "\n" not in str(caught.value)


def test_a_payload_can_be_given(tmp_path: Path) -> None:
    module = strip(payloads.read("counter"))
    enclave = Enclave(module)
    enclave.run()
    bare = forge(saved(enclave, tmp_path), lambda lines: lines[0].update(payloads=[]))
    with pytest.raises(RecordingError, match="is missing"):
        replay(bare, ["beacon"])
    assert replay(bare, ["beacon", module]).equal


def test_a_forged_input_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    enclave = Enclave("counter")
    enclave.boot()
    enclave.take(GuestReplaced(at_ns=0, payload=0, code=payloads.read("beacon")))

    def change(lines: list[Line]) -> None:
        lines[-2]["given"]["code"] = "AAAA"

    with pytest.raises(RecordingError, match=r"forged.jsonl: its input at \d+ ns is not possible there"):
        replay(forge(saved(enclave, tmp_path), change))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_header_says_it_is_replayed_or_refused(path: Path, data: st.DataObject) -> None:
    genuine: Line = {}

    def change(lines: list[Line]) -> None:
        genuine.update(deepcopy(lines[0]))
        where = lines[0] if data.draw(st.booleans()) else lines[0]["configuration"]
        name = data.draw(st.sampled_from(sorted(where)))
        where[name] = data.draw(JSON | st.sampled_from([1, 2, 1000, 5000, [1, 2], ["simd"], True, "require", "native"]))

    forged = forge(path, change)
    result, refusal = None, ""
    try:
        result = replay(forged)
    except RecordingError as error:
        refusal = str(error)
    if result is None:
        header = msgspec.json.decode(forged.read_bytes().splitlines()[0])
        assert msgspec.json.encode(header) != msgspec.json.encode(genuine), (
            "what is genuine is replayed"
        )  # true is not 1
        assert refusal.startswith(str(forged))
        assert "\n" not in refusal
    else:
        header = read_header(forged)
        assert result.equal or header.configuration != genuine["configuration"] or header.inputs
