"""`enclave-sim interrupts`."""

from pathlib import Path

import msgspec
import pytest
from pyarrow import compute, parquet

from enclave_sim import Enclave
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.recording.interrupt_windows import Window
from enclave_sim.time_travel.interrupt_replay import interrupt_windows
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.forging import forge


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    enclave = Enclave("counter", cycles=2)
    enclave.run()
    path = tmp_path / "counter.jsonl"
    assert enclave.recording is not None
    enclave.recording.save(path)
    return path


def test_the_longest_windows_are_shown(recorded: Path) -> None:
    windows = interrupt_windows(recorded)
    off = sorted((one for one in windows if not one.enabled), key=lambda one: -one.duration_ns)
    ended = command("interrupts", recorded, "--longest", "2")
    assert ended.code == ExitCode.OK
    head, _, *lines = ended.output.splitlines()
    assert head == f"interrupts are off in {len(off)} windows, {sum(one.duration_ns for one in off):,} ns in all"
    assert [int(line.split()[0].replace(",", "")) for line in lines] == [one.duration_ns for one in off[:2]]
    told = msgspec.json.decode(command("interrupts", recorded, "--json").output)
    assert told["windows"] == len(windows)
    assert msgspec.convert(told["longest"], list[Window])[:2] == off[:2]


def test_the_table_has_every_window_and_the_longest_is_one_query(recorded: Path, tmp_path: Path) -> None:
    path = tmp_path / "windows.parquet"
    assert command("interrupts", recorded, "--output", path).code == ExitCode.OK
    windows, table = interrupt_windows(recorded), parquet.read_table(path)
    assert msgspec.convert(table.to_pylist(), list[Window]) == windows
    found = table.filter(~compute.field("enabled")).sort_by([("duration_ns", "descending")]).slice(0, 1).to_pylist()
    assert found[0]["duration_ns"] == max(one.duration_ns for one in windows if not one.enabled)


def test_a_recording_that_the_run_does_not_repeat_is_refused(recorded: Path) -> None:
    def change(lines: list[dict[str, object]]) -> None:
        next(line for line in lines if line["kind"] == "signal_emitted")["value"] = 99

    forge(recorded, change)
    assert_refused(command("interrupts", recorded.with_name("forged.jsonl")), "its run differs")


def test_the_table_does_not_replace_the_recording(recorded: Path) -> None:
    before = recorded.read_bytes()
    assert_refused(command("interrupts", recorded, "--output", recorded), "counter.jsonl is the recording itself")
    assert recorded.read_bytes() == before
