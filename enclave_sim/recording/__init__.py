"""Recordings: the events of a run, as a file with a digest, and queries on them.

from enclave_sim import Enclave, Recording

enclave = Enclave("counter", cycles=3)
enclave.run()
enclave.recording.save(Path("counter.jsonl"))
print(len(Recording.load(Path("counter.jsonl")).events))

`Recording` holds a run in memory; `RecordingWriter` writes a file, and `RecordingFile` and `read_events` read one, in
constant memory. Names are loaded when first used.
"""

from typing import TYPE_CHECKING

from enclave_sim._lazy import lazily

if TYPE_CHECKING:
    from enclave_sim.recording.format import Digest as Digest
    from enclave_sim.recording.format import Header as Header
    from enclave_sim.recording.format import RecordingError as RecordingError
    from enclave_sim.recording.format import Trailer as Trailer
    from enclave_sim.recording.query import select as select
    from enclave_sim.recording.reader import RecordingFile as RecordingFile
    from enclave_sim.recording.reader import read_events as read_events
    from enclave_sim.recording.reader import read_header as read_header
    from enclave_sim.recording.recording import Recording as Recording
    from enclave_sim.recording.writer import RecordingWriter as RecordingWriter

_HOMES = {
    "Digest": "format",
    "Header": "format",
    "Recording": "recording",
    "RecordingError": "format",
    "RecordingFile": "reader",
    "RecordingWriter": "writer",
    "Trailer": "format",
    "read_events": "reader",
    "read_header": "reader",
    "select": "query",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 - the keys are strings
__getattr__ = lazily(__name__, _HOMES)
