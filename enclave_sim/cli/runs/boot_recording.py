"""`enclave-sim boot --record`: a recording in the same format, with the same digest, as that of an enclave."""

import argparse
import hashlib
from contextlib import AbstractContextManager
from pathlib import Path

from enclave_sim.recording.format import Header
from enclave_sim.recording.writer import RecordingWriter


def recording_of(
    options: argparse.Namespace, image: bytes, modules: list[tuple[bytes, str]]
) -> AbstractContextManager[RecordingWriter]:
    """Return the recorder of a run. Its file is complete at the end of the `with` block."""
    configuration = {
        "ram_size": options.ram,
        "ns_per_instruction": options.ns_per_instruction,
        "timeout_ns": options.timeout_ns,
        "command_line": options.append,
        "module_command_lines": [text for _, text in modules],
        "fw_cfg": {name: hashlib.sha256(data).hexdigest() for name, data in options.fw_cfg},
    }
    hashes = [hashlib.sha256(data).hexdigest() for data in (image, *(data for data, _ in modules))]
    return RecordingWriter.open(Path(options.record), Header(configuration, hashes[0], tuple(hashes[1:])))
