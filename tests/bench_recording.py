"""A million events recorded to disk, in a process whose memory can be measured: a part of `tests/bench.py`."""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile

from enclave_sim.errors import KernelDied
from enclave_sim.events import SignalEmitted
from enclave_sim.recording.format import Header
from enclave_sim.recording.writer import RecordingWriter
from tests.bench_enclave import emitter, enclave_run
from tests.bench_entries import MEBIBYTE, Entry, cpu_seconds, entry

EVENTS, _ALONE = 1_000_000, 200_000


def million_events() -> list[Entry]:
    """The rate, compared with that of the recorder alone, and the growth of memory."""
    command = [sys.executable, "-m", "tests.bench_recording"]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    what = "encode, hash and write one kind of event alone, events/s of a processor"
    first = entry(
        f"{EVENTS:,} events recorded",
        told["rate"] / told["reference"],
        "ratio",
        ">= 0.04",
        (what, told["reference"]),
        1,
        events=told["events"],
        events_per_second=round(told["rate"]),
        file_bytes=told["file_bytes"],
    )
    memory = ("file written, MiB", told["file_bytes"] / MEBIBYTE)
    growth = told["growth_bytes"] / MEBIBYTE
    return [first, entry("memory growth while recording them", growth, "MiB", "<= 64", memory, 1)]


def record_million() -> None:
    """The child of `million_events`: prints one JSON object."""
    with tempfile.TemporaryFile() as file:
        enclave_run(emitter(2000), file)
    _, few = enclave_run(emitter(100))
    _, more = enclave_run(emitter(1100))
    calls = -(-(EVENTS - few.events) * 1000 // (more.events - few.events)) + 100
    module = emitter(calls)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryFile() as file:
        elapsed, result = enclave_run(module, file)
        file_bytes = os.fstat(file.fileno()).st_size
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if result.events < EVENTS:
        raise KernelDied(f"only {result.events} events")
    with tempfile.TemporaryFile() as file:
        alone = RecordingWriter(file, Header({}, "", ()))
        event = SignalEmitted(123_456, 123_456_789, 4711)
        reference = cpu_seconds(lambda: alone.record(event), _ALONE)
    unit = 1 if platform.system() == "Darwin" else 1024  # getrusage(2)
    told = {
        "events": result.events,
        "rate": result.events / elapsed,
        "reference": 1 / reference,
        "growth_bytes": growth * unit,
        "file_bytes": file_bytes,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    record_million()
