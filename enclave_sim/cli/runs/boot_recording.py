"""`enclave-sim boot --record`: a recording with the same format and digest as an enclave's."""

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path

from enclave_sim.cli.runs.recording import recording_to
from enclave_sim.enclave.kernel.bare_kernel import KernelOptions
from enclave_sim.recording.format import Header
from enclave_sim.recording.writer import RecordingWriter


def recording_of(
    path: str, image: bytes, options: KernelOptions, timeout_ns: int | None
) -> AbstractContextManager[RecordingWriter]:
    """Return the recorder of a run. Its file is complete at the end of the `with` block."""
    configuration = {
        "ram_size": options.ram_bytes,
        "ns_per_instruction": options.ns_per_instruction,
        "timeout_ns": timeout_ns,
        "command_line": options.command_line,
        "module_command_lines": [text for _, text in options.modules],
        "fw_cfg": {name: hashlib.sha256(data).hexdigest() for name, data in options.files.items()},
    }
    hashes = [hashlib.sha256(data).hexdigest() for data in (image, *(data for data, _ in options.modules))]
    return recording_to(Path(path), Header(configuration, hashes[0], tuple(hashes[1:])))
