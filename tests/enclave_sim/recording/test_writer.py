"""Recordings written during the run: all of the file, or nothing."""

import signal
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from enclave_sim import ConfigurationError, Enclave
from enclave_sim.errors import EnclaveError
from enclave_sim.events import HostCalled
from enclave_sim.recording.format import BATCH, Digest, Header, encode_line
from enclave_sim.recording.reader import RecordingFile
from enclave_sim.recording.recording import Recording
from enclave_sim.recording.writer import RecordingWriter

HEADER = Header({}, "", ())


@pytest.mark.parametrize("limit_ns", [None, 1_500_000])
def test_the_file_has_the_bytes_of_a_recording_kept_in_memory(limit_ns: int | None, tmp_path: Path) -> None:
    enclave = Enclave("counter", cycles=2)
    result = enclave.run(limit_ns)
    assert enclave.recording is not None
    enclave.recording.save(tmp_path / "saved.jsonl")
    with RecordingWriter.open(tmp_path / "streamed.jsonl") as writer:
        assert Enclave("counter", cycles=2, record=False, writer=writer).run(limit_ns) == result
    assert (tmp_path / "streamed.jsonl").read_bytes() == (tmp_path / "saved.jsonl").read_bytes()


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 5000])
def test_it_counts_and_hashes_what_it_has_taken(count: int, tmp_path: Path) -> None:
    digest = Digest(HEADER)
    with RecordingWriter.open(tmp_path / "run.jsonl", HEADER) as writer:
        for seq in range(count):
            for recorder in (writer, digest):
                recorder.record(HostCalled(seq, seq, 1, "emit_signal", seq))
            if seq % 700 == 0:
                assert (writer.events, writer.hexdigest()) == (digest.events, digest.hexdigest())
    file = RecordingFile(tmp_path / "run.jsonl")
    assert len(list(file)) == count
    assert file.trailer == digest.trailer()


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_events_are_written_1024_at_a_time(batches: int) -> None:
    file = BytesIO()
    writer, digest, lines = RecordingWriter(file, HEADER), Digest(HEADER), 1
    for seq in range(1024 * batches + 1023):
        writer.record(HostCalled(seq, seq, 1, "emit_signal", 0))
        digest.record(HostCalled(seq, seq, 1, "emit_signal", 0))
        lines += 1024 * ((seq + 1) % 1024 == 0)
        assert file.getvalue().count(b"\n") == lines
        assert len(digest._pending) == seq + 2 - lines
    assert writer.events == digest.events == 1024 * batches + 1023


@pytest.mark.parametrize("events", [0, 1, 2])
def test_a_limit_counts_where_the_last_event_is_that_before_it(events: int) -> None:
    for recorder in (Digest(HEADER), Recording(HEADER), RecordingWriter(BytesIO(), HEADER)):
        seen = []
        for seq in range(events + 1):
            if seq == events:
                recorder.stop_at(0)
                limited = recorder.digest if isinstance(recorder, Recording) else recorder.hexdigest()
            else:
                recorder.record(HostCalled(seq, seq, 1, "emit_signal", 0))
        seen.append(limited)
        text = encode_line(HEADER) + b"".join(
            msgspec.json.encode(HostCalled(seq, seq, 1, "emit_signal", 0)) + b"\n" for seq in range(events)
        )
        assert seen == [sha256(text + b'{"limit_ns":0}\n').hexdigest()]
        recorder.record(HostCalled(events, events, 1, "emit_signal", 0))
        later = recorder.digest if isinstance(recorder, Recording) else recorder.hexdigest()
        text += msgspec.json.encode(HostCalled(events, events, 1, "emit_signal", 0)) + b"\n"
        assert later == sha256(text).hexdigest()


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with RecordingWriter.open(path, HEADER):
        assert not path.exists()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [EnclaveError("refused"), MemoryError()])
def test_a_run_that_fails_leaves_what_was_there(failure: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("older")

    def run() -> None:
        with RecordingWriter.open(path, HEADER) as writer:
            writer.record(HostCalled(0, 0, 1, "emit_signal", 0))
            raise failure

    with pytest.raises(type(failure)):
        run()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "older"


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1])
def test_ctrl_c_keeps_the_events_so_far_and_says_so(count: int, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"

    def run() -> None:
        with RecordingWriter.open(path, HEADER) as writer:
            for seq in range(count):
                writer.record(HostCalled(seq, seq, 1, "emit_signal", seq))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert list(tmp_path.iterdir()) == [path]
    file = RecordingFile(path)
    assert [event.seq for event in file] == [*range(count)]
    assert file.trailer is not None
    assert file.trailer.interrupted
    cut = path.read_bytes().replace(b',"interrupted":true', b"")
    path.write_bytes(cut)
    assert len(list(RecordingFile(path))) == count  # it is the same as a recording without the mark


def test_ctrl_c_before_there_is_a_header_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RecordingWriter.open(tmp_path / "run.jsonl"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_while_a_batch_is_written_comes_after_it(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"

    class Pressing(BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell():  # not for the header
                signal.raise_signal(signal.SIGINT)
            return super().write(data)

    file = Pressing()
    writer = RecordingWriter(file, HEADER)
    for seq in range(BATCH - 1):
        writer.record(HostCalled(seq, seq, 1, "emit_signal", seq))
    with pytest.raises(KeyboardInterrupt):
        writer.record(HostCalled(BATCH - 1, BATCH - 1, 1, "emit_signal", 0))
    path.write_bytes(file.getvalue() + encode_line(writer._digest.trailer()))
    assert len(list(RecordingFile(path))) == BATCH


def test_without_a_header_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(EnclaveError, match="needs a header"), RecordingWriter.open(tmp_path / "run.jsonl"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_one_writer_writes_one_recording(tmp_path: Path) -> None:
    file = BytesIO()
    writer = RecordingWriter(file, HEADER)
    with pytest.raises(EnclaveError, match="cannot begin again"):
        Enclave("beacon", writer=writer)
    assert file.getvalue().count(b"\n") == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [("none/run.jsonl", "there is no directory"), (".", "it is a directory"), ("f/run.jsonl", "no directory")],
)
def test_a_file_that_cannot_be_written_is_one_line(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(ConfigurationError, match=words) as caught, RecordingWriter.open(tmp_path / name, HEADER):
        pytest.fail("the block was entered")
    assert "\n" not in str(caught.value)


def test_a_full_device_is_an_error_that_names_it() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with (
        pytest.raises(ConfigurationError, match="cannot record to /dev/full: No space left"),
        RecordingWriter.open(Path("/dev/full"), HEADER),
    ):
        pass
