"""A recording of many events in a file."""

import functools
import tempfile
from pathlib import Path

from enclave_sim import Enclave
from enclave_sim.recording.reader import read_events
from machine.events import Event


@functools.cache
def directory() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory()


@functools.cache
def recorded() -> tuple[Path, bytes, list[Event]]:
    enclave = Enclave("counter", cycles=40)
    enclave.run()
    assert enclave.recording is not None
    path = Path(directory().name) / "counter.jsonl"
    enclave.recording.save(path)
    return path, path.read_bytes(), list(read_events(path))
