"""What long recordings cost, with 10^4, 10^5 and 10^6 events: a part of `tests/bench.py`.

Each figure is measured in a process of its own: seconds of a processor, and the peak of its resident memory. The
reference is the time in which msgspec decodes the lines of the same recording without types.
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time

import msgspec

from enclave_sim.cancellation import Cancellation
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.exports.range_check import checked
from enclave_sim.recording.reader import RecordingFile, read_events, read_header
from tests.bench_enclave import emitter, enclave_run
from tests.bench_entries import MEBIBYTE, Entry, entry

SIZES = (10_000, 100_000, 1_000_000)
_EVENTS_A_ROUND = 8
_PART = 1000
"""Events of the part that is read."""
_COLUMNS = 80


def growth() -> list[Entry]:
    """Time and memory of each action, for each number of events."""
    return list(_figures())


def _figures() -> Iterator[Entry]:
    with tempfile.TemporaryDirectory() as directory:
        for events in SIZES:
            path = Path(directory) / f"{events}.jsonl"
            figures = {"recording": _measured("recording", path, events)}
            figures |= {name: _measured(name, path, events) for name in _ACTIONS if name != "recording"}
            reference, _ = figures.pop("its lines")
            for name, (taken, peak) in figures.items():
                beside = ("decode its lines without types, s of a processor", reference)
                peak_mib = round(peak, 1)
                yield entry(f"growth: {name}, {events:,} events", taken, "s", None, beside, 1, peak_mib=peak_mib)
            path.unlink()


def _measured(name: str, path: Path, events: int) -> tuple[float, float]:
    """Return processor seconds and peak memory in MiB."""
    command = [sys.executable, "-m", "tests.bench_growth", name, str(path), str(events)]
    taken, peak = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return taken, peak


def _record(path: Path, events: int) -> None:
    with path.open("wb") as file:
        enclave_run(emitter(events // _EVENTS_A_ROUND), file)


def _decode(path: Path, _events: int) -> None:
    decoder = msgspec.json.Decoder()
    with path.open("rb") as file:
        for line in file:
            decoder.decode(line)


def _read_between(path: Path, events: int) -> None:
    file = RecordingFile(path)
    first, *_, last = file.numbered(range(events // 2, events // 2 + _PART))
    assert sum(1 for _ in file.between(first.at_ns, last.at_ns)) >= _PART


def _export(to: Format) -> Callable[[Path, int], None]:
    def export(path: Path, _events: int) -> None:
        with tempfile.TemporaryFile() as file:
            to.writer()(read_header(path), checked(read_events(path)), file)

    return export


def _inspect(path: Path, events: int) -> None:
    from enclave_sim.inspector.model.event_log import EventLog
    from enclave_sim.inspector.model.moment import Moment
    from enclave_sim.inspector.model.status import standing
    from enclave_sim.inspector.model.strip import strip_view
    from enclave_sim.inspector.session.sources import source_of

    opened = source_of((str(path),)).open(Cancellation())
    moment = Moment(opened, EventLog(opened.run.known, opened.run.cancellation))
    moment.follow()
    assert len(strip_view(moment, _COLUMNS).rows) == _COLUMNS
    assert standing(moment).recording
    assert opened.comparison is not None
    assert opened.comparison.recorded[events // 2].seq == events // 2


_ACTIONS: dict[str, Callable[[Path, int], None]] = {
    "recording": _record,
    "its lines": _decode,
    f"reading {_PART:,} in the middle": _read_between,
    **{f"export to {to.value}": _export(to) for to in Format},
    "opening in the inspector": _inspect,
}


def _child(name: str, path: str, events: str) -> None:
    begun = process_time()
    _ACTIONS[name](Path(path), int(events))
    taken = process_time() - begun
    print(json.dumps((taken, _peak_bytes() / MEBIBYTE)))


def _peak_bytes() -> int:
    """Return the peak of this process. That of getrusage(2) on Linux includes its parent, before exec."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    _child(*sys.argv[1:])
