"""`enclave-sim export`: files and error messages."""

import os
import pty
import select
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner

import firmware
from enclave_sim import Enclave
from enclave_sim.cli.app import app
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.events import PhaseEntered
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.format import Header
from enclave_sim.recording.writer import RecordingWriter
from tests.enclave_sim.cli.runs.boot_command import boot

SUFFIXES = {"perfetto": ".pftrace", "vcd": ".vcd", "parquet": ".parquet", "html": ".html"}
BEGINNINGS = {"perfetto": b"\n", "vcd": b"$comment", "parquet": b"PAR1", "html": b"<!DOCTYPE html>"}


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    error: str


def export(*arguments: str | Path) -> Ended:
    """Run the command in this process."""
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def assert_refused(ended: Ended, *words: str) -> None:
    """One line on standard error, nothing on standard output, exit code 2."""
    assert (ended.code, ended.output) == (ExitCode.USAGE, "")
    assert ended.error.startswith("error: ")
    assert ended.error.count("\n") == 1
    for word in words:
        assert word in ended.error


@pytest.fixture(scope="module")
def recorded() -> bytes:
    enclave = Enclave("counter", cycles=2)
    enclave.run()
    assert enclave.recording is not None
    file = BytesIO()
    writer = RecordingWriter(file, enclave.header)
    for event in enclave.recording.events:
        writer.record(event)
    writer.finish()
    return file.getvalue()


@pytest.fixture
def recording(recorded: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "counter.jsonl"
    path.write_bytes(recorded)
    return path


@pytest.mark.parametrize("to", SUFFIXES)
def test_the_export_stands_beside_the_recording(recording: Path, to: str) -> None:
    ended = export(recording, "--to", to)
    goal = recording.with_suffix(Format(to).suffix)
    assert ended == Ended(0, f"wrote {goal}: {goal.stat().st_size} bytes\n", "")
    written = recording.with_suffix(SUFFIXES[to])
    assert written.read_bytes().startswith(BEGINNINGS[to])
    assert set(recording.parent.iterdir()) == {recording, written}


@pytest.mark.parametrize("to", SUFFIXES)
def test_a_dash_is_standard_output(recording: Path, to: str) -> None:
    export(recording, "--to", to)
    expected = recording.with_suffix(SUFFIXES[to]).read_bytes()
    assert CliRunner().invoke(app, ["export", str(recording), "--to", to, "-o", "-"]).stdout_bytes == expected


def test_the_output_can_be_named(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    goal = tmp_path / "there" / "report.html"
    goal.write_text("old")
    assert export(recording, "--to", "html", "--output", goal).code == 0
    assert goal.read_bytes().startswith(b"<!DOCTYPE html>")
    assert list(goal.parent.iterdir()) == [goal]


@pytest.mark.parametrize("to", SUFFIXES)
def test_the_boot_of_any_kernel_can_be_exported(tmp_path: Path, to: str) -> None:
    image = Path(firmware.__file__).parent / "aether.elf"
    path = tmp_path / "boot.jsonl"
    assert boot([str(image), "--record", str(path), "--timeout-ns", "100000"]) == ExitCode.LIMIT
    assert (export(path, "--to", to).code, path.with_suffix(Format(to).suffix).stat().st_size > 0) == (0, True)
    assert path.with_suffix(SUFFIXES[to]).read_bytes().startswith(BEGINNINGS[to])


def test_formats_have_the_names_the_command_takes() -> None:
    assert {to.value: to.suffix for to in Format} == SUFFIXES


@pytest.mark.parametrize("to", SUFFIXES)
def test_a_damaged_recording_leaves_nothing_behind(recording: Path, to: str) -> None:
    recording.write_bytes(recording.read_bytes().replace(b'"region":"heap"', b'"region":"help"', 1))
    assert_refused(export(recording, "--to", to), str(recording), "a line was changed")
    assert list(recording.parent.iterdir()) == [recording]


@pytest.mark.parametrize("to", SUFFIXES)
def test_a_recording_cut_short_is_refused(recording: Path, to: str) -> None:
    recording.write_bytes(b"".join(recording.read_bytes().splitlines(keepends=True)[:-1]))
    assert_refused(export(recording, "--to", to), "is cut short")
    assert list(recording.parent.iterdir()) == [recording]


def test_what_is_not_a_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a recording\n")
    assert_refused(export(path, "--to", "vcd"), "notes.txt is not a recording")


def test_a_recording_of_what_no_machine_does_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "forged.jsonl"
    with RecordingWriter.open(path, Header({}, "", ())) as writer:
        writer.record(PhaseEntered(0, 0, "$end $var"))
    assert_refused(export(path, "--to", "vcd"), "event 0: there is no phase '$end $var'")


def test_a_missing_recording_is_one_line(tmp_path: Path) -> None:
    assert_refused(export(tmp_path / "no.jsonl", "--to", "vcd"), "cannot read", "no.jsonl: No such file")
    assert_refused(export(tmp_path, "--to", "vcd"), "cannot read", "Is a directory")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_refused_with_those_that_are_known(recording: Path) -> None:
    assert_refused(export(recording, "--to", "pdf"), "pdf", *SUFFIXES)
    assert_refused(export(recording), "--to")


@pytest.mark.parametrize("to", SUFFIXES)
def test_an_output_that_cannot_be_written_is_one_line(recording: Path, tmp_path: Path, to: str) -> None:
    assert_refused(export(recording, "--to", to, "--output", tmp_path), "cannot export to", "it is a directory")
    missing = tmp_path / "no" / "such"
    assert_refused(export(recording, "--to", to, "--output", missing), "cannot export to", "there is no directory")
    assert_refused(export(recording, "--to", to, "--output", "/dev/full"), "cannot export to /dev/full: No space")


def test_the_recording_is_not_overwritten(recording: Path, recorded: bytes) -> None:
    assert_refused(export(recording, "--to", "vcd", "--output", recording), "is the recording itself")
    named = recording.rename(recording.with_suffix(".vcd"))
    assert_refused(export(named, "--to", "vcd"), "is the recording itself")
    assert named.read_bytes() == recorded


def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "enclave_sim.recording.exports.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert_refused(export(recording, "--to", "parquet"), "pyarrow", "pip install '.[arrow]' in a clone")
    assert list(recording.parent.iterdir()) == [recording]


def test_the_command_line_loads_no_library_before_it_is_needed() -> None:
    program = "import sys, enclave_sim.cli.app; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "'click'" in loaded
    for library in ("perfetto", "google", "vcd", "pyarrow"):
        assert f"'{library}'" not in loaded


def test_a_long_export_shows_progress_on_a_terminal_and_erases_it(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enclave_sim.cli.output.progress._FIRST_AFTER_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with pytest.raises(SystemExit):
            app.main(["export", str(recording), "--to", "vcd"])
        shown = ""
        while not shown.endswith("\r\x1b[K") or shown.count("\r") < 2:
            assert select.select([ours], [], [], 5)[0], shown
            shown += os.read(ours, 1000).decode()
    os.close(ours)
    assert shown == "\r\x1b[K0 events, 0.000 s of virtual time\r\x1b[K"
