"""Where a run comes from: payloads, or a recording."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enclave_sim.configuration import PayloadSource
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.inspector.recorded import Comparison, Recorded, is_recording
from enclave_sim.inspector.run import InspectedRun

_ELF = b"\x7fELF"
_NOT_SCENARIO = ("inputs", "verifier", "tpm")


@dataclass(frozen=True, slots=True)
class Opened:
    """A run at its beginning, and what it was made from."""

    run: InspectedRun
    scenario: Scenario
    """For a verification."""
    comparison: Comparison | None = None
    """With the recording it comes from."""


@dataclass(frozen=True, slots=True)
class Source:
    """What to open, as the command line has it. `options` are those of `Enclave`; a recording brings its own."""

    payloads: tuple[PayloadSource, ...]
    options: dict[str, Any]
    recording: Path | None = None

    def open(self, attend: Callable[[], None]) -> Opened:
        """Make the run. Raises ConfigurationError or RecordingError."""
        payloads, options = list(self.payloads), self.options
        comparison = None
        if self.recording is not None:
            recorded = Recorded(self.recording, self.payloads)
            payloads, options = list(recorded.payloads), recorded.options
            comparison = Comparison(recorded.events)
        run = InspectedRun(payloads, attend=attend, **options)
        alone = {name: value for name, value in options.items() if name not in _NOT_SCENARIO}
        sources = payloads[0] if len(payloads) == 1 else payloads
        return Opened(run, Scenario(sources, alone, tuple(options.get("inputs", ()))), comparison)


def source_of(what: tuple[str, ...], options: dict[str, Any], payloads: tuple[str, ...] = ()) -> Source:
    """The source that was named: a recording where it is one, else payloads.

    Raises ConfigurationError for what can be neither, such as a kernel image.
    """
    paths = [Path(name) for name in what]
    recordings = [path for path in paths if is_recording(path)]
    if recordings:
        if len(paths) > 1:
            raise ConfigurationError(f"{recordings[0]} is a recording, which is inspected alone")
        return Source(payloads, {}, recordings[0])
    for path in paths:
        if path.is_file() and _begins(path, _ELF):
            raise ConfigurationError(
                f"{path} is a kernel image; inspect goes through enclaves, and enclave-sim boot runs other kernels"
            )
    return Source(what, options)


def _begins(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False
