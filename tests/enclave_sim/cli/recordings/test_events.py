"""`enclave-sim events`: output, and memory that does not depend on a recording's length."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from enclave_sim.events import AnyEvent, HostCalled, SignalEmitted
from enclave_sim.recording.format import Header
from enclave_sim.recording.reader import read_events
from enclave_sim.recording.writer import RecordingWriter
from machine.events import RingTransition
from tests.enclave_sim.cli.command import assert_refused, command

MANY = 300_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "run.jsonl"
    assert command("run", "counter", "--cycles", "3", "--record", path).code == 0
    return path


@pytest.fixture(scope="module")
def events(path: Path) -> list[AnyEvent]:
    return list(read_events(path))


def test_every_event_is_a_line_in_columns(path: Path, events: list[AnyEvent]) -> None:
    lines = command("events", path).output.splitlines()
    assert lines[0].split() == ["event", "at", "ns", "kind", "fields"]
    assert len(lines) == len(events) + 1
    for line, event in zip(lines[1:], events, strict=True):
        assert int(line[:9].replace(",", "")) == event.seq
        assert int(line[11:26].replace(",", "")) == event.at_ns
        assert line[28:51].strip() == event.__struct_config__.tag
        own = [n for n in event.__struct_fields__[2:] if getattr(event, n) is not None]
        assert [f" {name}=" for name in own if f" {name}=" not in line] == []


def test_a_query_without_a_match_says_so_and_only_to_people(path: Path) -> None:
    for query in (("--cycle", "2", "--kind", "shutdown"), ("--kind", "shutdown")):
        ended = command("events", path, *query)
        assert (ended.code, ended.output, ended.error) == (0, "", "no event matches\n")
        assert command("events", path, *query, "--json").error == ""
        assert command("events", path, *query, "--count").error == ""
    assert command("events", path, "--kind", "woken").error == ""


@pytest.mark.parametrize("how", [[], ["--json"], ["--count"]])
def test_a_cycle_that_the_recording_does_not_have_is_answered_with_those_it_has(path: Path, how: list[str]) -> None:
    ended = command("events", path, "--cycle", "3", *how)
    assert ended.code == 0
    assert ended.error.endswith("note: the recording has no cycle 3; it has 3 cycles, 0 to 2\n")
    assert "note" not in command("events", path, "--cycle", "2", *how).error


def test_json_is_what_stands_in_the_file(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    assert command("events", path, "--json").output == "".join(lines[1:-1])


def test_kinds_times_and_rings(path: Path, events: list[AnyEvent]) -> None:
    def found(*options: str) -> list[int]:
        return [json.loads(line)["seq"] for line in command("events", path, "--json", *options).output.splitlines()]

    assert found("--kind", "signal_emitted", "--kind", "host_called") == [
        event.seq for event in events if isinstance(event, SignalEmitted | HostCalled)
    ]
    assert found("--between", "260_000", "0x41000") == [e.seq for e in events if 260_000 <= e.at_ns <= 0x41000]
    assert found("--ring", "3->0") == [e.seq for e in events if isinstance(e, RingTransition) and e.from_ring == 3]
    assert found("--ring", "3 -> 0", "--first", "2") == found("--ring", "3->0")[:2]
    assert found("--last", "3") == [event.seq for event in events[-3:]]
    assert found("--kind", "shutdown") == []


def test_count(path: Path, events: list[AnyEvent]) -> None:
    assert command("events", path, "--count").output == f"{len(events)}\n"
    assert command("events", path, "--count", "--kind", "shutdown").output == "0\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "scrubed"], ["did you mean scrubbed?", "residue_scanned"]),
        (["--between", "5", "4"], ["5 to 4 ns"]),
        (["--between", "x", "4"], ["--between: 'x' is not a time such as 10s"]),
        (["--ring", "4->0"], ["'4->0'", "such as 3->0"]),
        (["--ring", "0->0"], ["there are rings 0 to 3"]),
        (["--first", "0"], ["--first: '0'", "at least 1"]),
        (["--first", "1", "--last", "1"], ["exclude each other"]),
    ],
)
def test_what_cannot_be_asked_is_one_line(path: Path, options: list[str], words: list[str]) -> None:
    assert_refused(command("events", path, *options), *words)


def test_damage_is_reported_after_what_could_be_read(path: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:50]))
    ended = command("events", damaged, "--json")
    assert (ended.code, ended.error.count("\n")) == (2, 1)
    assert "cut short after line 50" in ended.error
    assert command("events", damaged, "--first", "3").code == 0


def test_what_a_payload_says_cannot_control_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with RecordingWriter.open(path, Header({}, "", ())) as writer:
        writer.record(HostCalled(0, 0, 1, "\x1b[2Jevil\n", 0))
    output = command("events", path).output
    assert "\x1b" not in output
    assert output.count("\n") == 2


def test_whoever_stops_reading_ends_it_quietly(path: Path) -> None:
    script = f"{sys.executable} -m enclave_sim events {path} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_when_nobody_reads_any_more_nothing_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def write(output: bytes) -> bool:
        written.append(output)
        return len(written) < 3

    monkeypatch.setattr("enclave_sim.cli.recordings.events._LINES", 10)
    monkeypatch.setattr("enclave_sim.cli.recordings.events.write", write)
    command("events", path)
    assert len(written) == 3


@pytest.fixture(scope="module")
def long_recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Recordings that differ every thousand events."""
    directory = tmp_path_factory.mktemp("long")
    for name in ("a", "b"):
        with RecordingWriter.open(directory / name, Header({}, "", ())) as writer:
            for seq in range(MANY):
                value = seq if name == "a" or seq % 1000 else 0
                writer.record(HostCalled(seq, 3 * seq, value % 4, "a host function with a name", value))
    return directory / "a", directory / "b"


def peak_bytes(*arguments: str | Path) -> int:
    """The peak memory of a command."""
    program = (
        "import atexit, runpy, sys\n"
        "@atexit.register\n"
        "def say():\n"
        "    status = open('/proc/self/status').read()\n"  # of this process alone: getrusage has the parent's, too
        "    print(status.split('VmHWM:')[1].split()[0], file=sys.stderr)\n"
        "runpy.run_module('enclave_sim', run_name='__main__')"
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    return int(done.stderr.split()[-1]) * 1024


@pytest.mark.long
def test_a_long_recording_takes_no_more_memory_than_a_short_one(path: Path, long_recordings: tuple[Path, Path]) -> None:
    assert long_recordings[0].stat().st_size > 30 << 20
    for options in ([], ["--json"], ["--count"], ["--kind", "woken"], ["--last", "5"]):
        more = peak_bytes("events", long_recordings[0], *options) - peak_bytes("events", path, *options)
        assert more < 4 << 20, options
    assert peak_bytes("diff", *long_recordings) - peak_bytes("diff", path, path) < 8 << 20


@pytest.mark.long
def test_nor_does_replaying_a_long_run(path: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.jsonl"
    assert command("run", "counter", "--cycles", "800", "--record", long).code == 0
    assert int(command("events", long, "--count").output) > 28_000
    assert peak_bytes("replay", long) - peak_bytes("replay", path) < 4 << 20  # an event that is kept has some 200 bytes
