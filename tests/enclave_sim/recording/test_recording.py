"""Recordings: what is written is read back, and any damage is detected."""

import hashlib
import os
import re
import typing
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_sim import ConfigurationError, Enclave
from enclave_sim.events import AnyEvent
from enclave_sim.recording import reader
from enclave_sim.recording.format import RecordingError, Trailer
from enclave_sim.recording.reader import RecordingFile, read_events, read_header
from enclave_sim.recording.recording import Recording


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


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_seen(saved: bytes, tmp_path: Path, data: st.DataObject) -> None:
    at, bits = data.draw(st.integers(0, len(saved) - 1)), data.draw(st.integers(1, 255))
    lines = saved.splitlines(keepends=True)
    first, second = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    swapped = list(lines)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    damage = {
        "flip": saved[:at] + bytes([saved[at] ^ bits]) + saved[at + 1 :],
        "cut": saved[:at],
        "insert": saved[:at] + data.draw(st.binary(min_size=1, max_size=8)) + saved[at:],
        "delete": saved[:at] + saved[at + bits :],
        "drop": b"".join(lines[:first] + lines[first + 1 :]),
        "swap": b"".join(swapped),
        "double": b"".join([*lines[: first + 1], *lines[first:]]),
    }[data.draw(st.sampled_from(["flip", "cut", "insert", "delete", "drop", "swap", "double"]))]
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(damage)
    if damage == saved:
        return
    with pytest.raises(RecordingError) as caught:
        list(read_events(path))
    assert "\n" not in str(caught.value)
    assert re.search(r"\bline \d+|\bversion \d+|\bis empty$", str(caught.value))


@pytest.mark.parametrize("limit", ["4999999", "5000001", "null", "05000000", "5000000.0"])
def test_a_changed_limit_is_seen(limit: str, tmp_path: Path) -> None:
    enclave = Enclave("spinner")
    result = enclave.run(5_000_000)
    assert enclave.recording is not None
    assert result.digest == enclave.recording.digest
    path = tmp_path / "run.jsonl"
    enclave.recording.save(path)
    file = RecordingFile(path)
    list(file)
    assert file.trailer == Trailer(result.events, result.digest, 5_000_000)
    assert Recording.load(path).digest == result.digest
    path.write_text(path.read_text().replace('"limit_ns":5000000}', f'"limit_ns":{limit}}}'))
    with pytest.raises(RecordingError):
        list(read_events(path))


def test_a_limit_counts_only_where_the_run_ended_at_it() -> None:
    whole, stopped = Enclave("beacon"), Enclave("beacon")
    digests = {stopped.run(limit).digest for limit in (100_000, 100_001)}
    assert len(digests) == 2
    assert stopped.run().digest == whole.run().digest
    assert whole.recording is not None
    assert stopped.recording is not None
    assert stopped.recording.digest == whole.recording.digest


ANCHOR = b'"trust_anchors":[{"name":"a","ed25519_public_key":"","ml_dsa_65_public_key":"","development":true}],'
LINES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a changed event": (
        lambda lines: [*lines[:3], lines[3].replace(b":", b": ", 1), *lines[4:]],
        "line LAST: a line was",
    ),
    "CR LF": (
        lambda lines: [line.replace(b"\n", b"\r\n") for line in lines],
        "line 1: it ends with CR LF",
    ),
    "CR LF later": (lambda lines: [*lines[:4], lines[4][:-1] + b"\r\n", *lines[5:]], "line 5: it ends with CR LF"),
    "a byte order mark": (lambda lines: [b"\xef\xbb\xbf", *lines], "line 1: it begins with a byte order mark"),
    "UTF-16": (lambda lines: [b"".join(lines).decode().encode("utf-16")], "line 1: it begins with a byte order mark"),
    "an endless line": (lambda lines: [*lines[:4], b"[" * (1 << 26)], "line 5: it is longer than 64 MiB"),
    "a cut": (lambda lines: lines[:7], "is cut short after line 7"),
    "a cut line": (lambda lines: [*lines[:7], lines[7][:-1]], "line 8: cut short"),
    "other order": (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], "line 5: event 4 where 3 belongs"),
    "no event": (lambda lines: [*lines[:4], b"{}\n", *lines[5:]], "line 5: not an event"),
    "a cut header": (lambda lines: [lines[0][:-1]], "line 1: cut short"),
    "a header without a newline before the events": (
        lambda lines: [lines[0][:-1], *lines[1:]],
        "is not a recording; line 1",
    ),
    "more": (lambda lines: [*lines, b"\n"], "line NEXT: something follows the trailer"),
    "spaces": (lambda lines: [*lines[:-1], lines[-1].replace(b":", b": ")], "line LAST: the trailer was changed"),
    "a field": (lambda lines: [*lines[:-1], lines[-1].replace(b"{", b'{"a":1,')], "line LAST: the trailer was changed"),
    "nothing": (lambda _: [], "is not a recording: it is empty"),
    "text": (lambda _: [b"hello\n"], "is not a recording; line 1"),
    "deep": (lambda lines: [lines[0].replace(b"[0,0]", b"[" * 9999 + b"]" * 9999)], "is not a recording; line 1"),
    "version": (lambda lines: [lines[0].replace(b'"version":2', b'"version":3')], "version 3; this program reads 2"),
    "format": (lambda lines: [lines[0].replace(b"enclave-sim-recording", b"other")], "its format is 'other'"),
    "key": (
        lambda lines: [lines[0].replace(b'"trust_anchors":[],', ANCHOR)],
        "is not a recording; line 1: ed25519_public_key has 0 bytes",
    ),
}


@pytest.mark.parametrize("damage", LINES)
def test_damage_is_named_with_its_line(saved: bytes, damage: str, tmp_path: Path) -> None:
    change, expected = LINES[damage]
    lines = saved.splitlines(keepends=True)
    expected = expected.replace("LAST", str(len(lines))).replace("NEXT", str(len(lines) + 1))
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(b"".join(change(lines)))
    with pytest.raises(RecordingError) as caught:
        list(read_events(path))
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)


def test_what_was_found_and_what_is_stated_are_not_mixed_up(saved: bytes, tmp_path: Path) -> None:
    """A changed event gives a digest other than the trailer's; the trailer's count can be wrong, too."""
    *lines, trailer = saved.splitlines(keepends=True)
    changed = [*lines[:3], lines[3].replace(b":", b": ", 1), *lines[4:]]
    found, stated = hashlib.sha256(b"".join(changed)).hexdigest(), hashlib.sha256(b"".join(lines)).hexdigest()
    events = len(lines) - 1
    miscounted = trailer.replace(b'"events":%d' % events, b'"events":%d' % (events + 1))
    cases = (
        (changed, trailer, f"a line was changed: the digest of all is {found}, the trailer says {stated}"),
        (lines, miscounted, f"the trailer counts {events + 1} events; there are {events}"),
    )
    path = tmp_path / "damaged.jsonl"
    for kept, end, what in cases:
        path.write_bytes(b"".join([*kept, end]))
        with pytest.raises(RecordingError) as caught:
            list(read_events(path))
        assert str(caught.value) == f"{path}, line {len(lines) + 1}: {what}"


def test_no_more_than_64_mib_of_a_line_are_read(saved: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(saved)
    asked: list[int] = []

    class Asking(BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            asked.append(-1 if size is None else size)
            return super().readline(size)

    monkeypatch.setattr(reader, "open_file", lambda path: Asking(path.read_bytes()))
    assert len(list(read_events(path))) == saved.count(b"\n") - 2
    assert set(asked) == {1 << 26}


def test_of_a_file_that_does_not_begin_like_a_recording_little_is_read(tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    path.write_bytes(b"")
    os.truncate(path, 1 << 40)
    with pytest.raises(RecordingError, match="is not a recording; line 1"):
        read_header(path)


def test_a_recording_of_more_than_a_gibibyte_is_not_read_into_memory(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(saved)
    os.truncate(path, (1 << 30) + 1)
    with pytest.raises(ConfigurationError) as caught:
        Recording.load(path)
    assert str(caught.value) == f"cannot read {path} into memory: it is larger than 1 GiB"


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_what_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_header(tmp_path / name)


def test_a_header_without_its_newline_is_cut_short_also_where_nothing_else_is_read(
    saved: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(saved.splitlines()[0])
    with pytest.raises(RecordingError, match="line 1: cut short"):
        read_header(path)


def test_a_recording_that_is_too_large_for_memory_is_refused_before_its_events_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enclave = Enclave("counter")
    enclave.run()
    assert enclave.recording is not None
    path = tmp_path / "run.jsonl"
    enclave.recording.save(path)
    monkeypatch.setattr(reader, "IMAGE", path.stat().st_size)
    assert Recording.load(path).digest == enclave.recording.digest
    monkeypatch.setattr(reader, "IMAGE", path.stat().st_size - 1)
    with pytest.raises(ConfigurationError, match=r"run\.jsonl into memory: it is larger"):
        Recording.load(path)
    assert len(list(RecordingFile(path))) == len(enclave.recording.events)  # one by one there is no limit
