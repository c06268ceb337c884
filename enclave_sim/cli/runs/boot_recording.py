"""`enclave-sim boot --record`: a recording with the same format and digest as an enclave's."""

from contextlib import AbstractContextManager
from pathlib import Path

from enclave_sim.cli.runs.recording import recording_to
from enclave_sim.enclave.kernel.bare_kernel import KernelOptions
from enclave_sim.recording.writer import RecordingWriter


def recording_of(
    path: str, image: bytes, options: KernelOptions, timeout_ns: int | None
) -> AbstractContextManager[RecordingWriter]:
    """Return the recorder of a run. Its file is complete at the end of the `with` block."""
    return recording_to(Path(path), options.header(image, timeout_ns))
