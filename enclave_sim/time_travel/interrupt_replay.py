"""The windows of a recorded run in which RFLAGS.IF keeps its value, found by a traced replay."""

from collections.abc import Iterable
from pathlib import Path

from enclave_sim.enclave.configuration import PayloadSource
from enclave_sim.enclave.interrupt_flag_trace import InterruptFlagTrace
from enclave_sim.recording.format import RecordingError
from enclave_sim.recording.interrupt_windows import Window
from enclave_sim.time_travel.replay import replay
from firmware import Firmware


def interrupt_windows(
    path: Path | str, payloads: Iterable[PayloadSource] = (), kernel: Firmware | None = None
) -> list[Window]:
    """Repeat a recorded run, and return the windows in which RFLAGS.IF keeps its value.

    Args:
        path: The recording file.
        payloads: Candidates, by SHA-256, for payloads that are neither embedded nor built in.
        kernel: The firmware of the run; None for the built-in one.

    Returns:
        The windows from power-on to the end of the run, in order.

    Raises:
        RecordingError: The recording cannot be repeated, or the run differs from it.
        ConfigurationError: The file or a payload cannot be opened.
    """
    traces: list[InterruptFlagTrace] = []
    result = replay(path, payloads, kernel, prepare=lambda enclave: traces.append(InterruptFlagTrace(enclave)))
    if not result.equal:
        raise RecordingError(f"{path}: its run differs from it here; enclave-sim replay shows where")
    (trace,) = traces
    return trace.windows()
