"""The sources of a run: payloads, a recording, or a kernel image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

import msgspec

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.configuration import PayloadSource
from enclave_sim.enclave.kernel.bare_kernel import KernelOptions, is_kernel_image
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import IMAGE, read_file
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.inputs import AnyInput
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.recording.format import is_recording
from enclave_sim.time_travel.recorded.comparison import RunningComparison
from enclave_sim.time_travel.recorded.run import RecordedEnclave, recorded_run
from enclave_sim.time_travel.session import enclave_of
from firmware import Firmware


@dataclass(frozen=True, slots=True)
class Opened:
    """A run at its beginning, and its origin."""

    run: InspectedRun
    scenario: Scenario | None
    """The scenario for a verification; None for a bare kernel."""
    comparison: RunningComparison | None = None
    """The comparison with the replayed recording."""


class Source(Protocol):
    """The source of a run."""

    kind: ClassVar[str]
    """The kind of source, as text."""

    def open(self, cancellation: Cancellation) -> Opened:
        """Make the run, cancelled by `cancellation`. Raises ConfigurationError or RecordingError on failure."""


@dataclass(frozen=True, slots=True)
class EnclaveSource:
    """Payloads of an enclave."""

    kind: ClassVar[str] = "payloads"
    payloads: tuple[PayloadSource, ...]
    options: EnclaveOptions
    inputs: tuple[AnyInput, ...] = ()

    def open(self, cancellation: Cancellation) -> Opened:
        """See `Source`."""
        run = InspectedRun(enclave_of(self.payloads, self.options, self.inputs, cancellation=cancellation))
        return Opened(run, _scenario(self.payloads, self.options, self.inputs))


@dataclass(frozen=True, slots=True)
class RecordingSource:
    """A recording, and files that it does not embed."""

    kind: ClassVar[str] = "a recording"
    path: Path
    payloads: tuple[PayloadSource, ...] = ()
    kernel: Firmware | None = None

    def open(self, cancellation: Cancellation) -> Opened:
        """See `Source`."""
        recorded = recorded_run(self.path, self.payloads, self.kernel)
        scenario = None
        if isinstance(recorded, RecordedEnclave):
            scenario = _scenario(recorded.payloads, recorded.options, recorded.inputs)
        return Opened(InspectedRun(recorded.maker(cancellation)), scenario, RunningComparison(recorded.events))


@dataclass(frozen=True, slots=True)
class KernelSource:
    """A kernel image for the bare machine, with the options of `BareKernel`."""

    kind: ClassVar[str] = "a kernel image"
    path: Path
    options: KernelOptions

    def open(self, cancellation: Cancellation) -> Opened:
        """See `Source`."""
        make = partial(self.options.kernel, str(self.path), read_file(self.path, IMAGE), cancellation=cancellation)
        return Opened(InspectedRun(lambda recorder: make(recorder=recorder)), None)


def _scenario(payloads: Sequence[PayloadSource], options: EnclaveOptions, inputs: tuple[AnyInput, ...]) -> Scenario:
    alone = msgspec.structs.replace(options, verifier=None, tpm=None)
    return Scenario(payloads[0] if len(payloads) == 1 else list(payloads), alone, inputs)


def source_of(
    what: tuple[str, ...],
    options: EnclaveOptions | None = None,
    inputs: tuple[AnyInput, ...] = (),
    files: tuple[str, ...] = (),
    kernel_options: KernelOptions | None = None,
) -> Source:
    """Return the source named by the user.

    Args:
        what: A recording, a kernel image, or payloads.
        options: The options of an enclave.
        inputs: The inputs of an enclave.
        files: Files that a recording does not embed.
        kernel_options: The options of a bare kernel.

    Returns:
        The source. A name that is neither a recording nor a kernel image is a payload's.

    Raises:
        ConfigurationError: A recording or a kernel image is named together with other sources.
    """
    paths = [Path(name) for name in what]
    for path in paths:
        alone: Source | None = None
        if is_recording(path):
            alone = RecordingSource(path, files, None if options is None else options.configuration.firmware)
        elif is_kernel_image(path):
            alone = KernelSource(path, kernel_options or KernelOptions())
        if alone is not None and len(paths) > 1:
            raise ConfigurationError(f"{path} is {alone.kind}, which must be named alone")
        if alone is not None:
            return alone
    return EnclaveSource(what, options or EnclaveOptions(), inputs)
