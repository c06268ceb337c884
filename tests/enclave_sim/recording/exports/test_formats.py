"""Common to all formats: the same bytes each time, and memory that does not grow with the recording."""

import subprocess
import sys
from pathlib import Path

import pytest

from enclave_sim.events import PhaseEntered
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.exports.range_check import checked
from enclave_sim.recording.format import RecordingError
from machine.events import Event, Halted, InterruptDelivered, RingTransition
from tests.enclave_sim.recording.exports.runs import Run, save_host_calls
from tests.sampling import explored, sampled

EXPORT = """
import sys
from pathlib import Path
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.reader import read_events, read_header

to, recording = Format(sys.argv[1]), Path(sys.argv[2])
with open(sys.argv[3], "wb") as file:
    to.writer()(read_header(recording), read_events(recording), file)
print(*[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")])  # not the parent's, too
"""


def export(to: Format, recording: Path, output: Path, *, hash_seed: int = 0) -> int:
    """Export in a separate process; returns its peak memory in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", EXPORT, to.value, str(recording), str(output)],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": str(hash_seed)},
    )
    return int(done.stdout)


@pytest.mark.parametrize("to", Format)
def test_the_same_recording_gives_the_same_bytes(run: Run, to: Format) -> None:
    assert run.export(to) == run.export(to)


@pytest.mark.slow
@pytest.mark.parametrize("to", sampled(Format, Format.PERFETTO))
def test_another_process_gives_the_same_bytes(tmp_path: Path, to: Format) -> None:
    recording = tmp_path / "run.jsonl"
    save_host_calls(recording, 200)
    files = [tmp_path / "one", tmp_path / "other"]
    for seed, file in enumerate(files):
        export(to, recording, file, hash_seed=seed + 1)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("to", explored(Format, Format.PARQUET))
def test_memory_does_not_grow_with_the_recording(tmp_path: Path, to: Format) -> None:
    peaks = []
    for calls in (20_000, 80_000):  # 160 thousand events, 640 thousand
        recording = tmp_path / f"{calls}.jsonl"
        save_host_calls(recording, calls)
        peaks.append(export(to, recording, tmp_path / "output"))
    assert peaks[1] - peaks[0] < 32 * 1024, peaks  # allocators keep some; the events alone would be 200 MiB
    assert peaks[1] < 320 * 1024, peaks


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (InterruptDelivered(0, 0, 256, 0, 0), "vector is 256; it must be from 0 to 255"),
        (RingTransition(0, 0, 4, 0, "", None, None, 0, 0), "from_ring is 4; it must be from 0 to 3"),
        (InterruptDelivered(0, 0, 1, -1, 0), "handler is -1; it must be from 0 to"),
        (InterruptDelivered(0, 0, 1, 1 << 64, 0), f"handler is {1 << 64}; it must be"),
        (PhaseEntered(0, 0, "TEA TIME"), "there is no phase 'TEA TIME'"),
        (Halted(0, -1, False), "event 0 is dated -1 ns, before the one that precedes it"),
        (Halted(0, 1 << 63, False), f"at_ns is {1 << 63}; it must be"),
    ],
)
def test_what_no_machine_does_is_refused(event: Event, says: str) -> None:
    with pytest.raises(RecordingError) as caught:
        list(checked([event]))
    assert says in str(caught.value)


def test_what_a_machine_does_is_let_through(run: Run) -> None:
    assert list(checked(run.recording.events)) == run.recording.events
