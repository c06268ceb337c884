"""The sources of a run: payloads, a recording, or a kernel image."""

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
from enclave_sim.inspector.session.replayed_enclave import Recorded, RunningComparison, is_recording
from enclave_sim.inspector.session.replayed_kernel import RecordedKernel, is_of_kernel
from enclave_sim.recording.reader import RecordingFile
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
        return _opened(list(self.payloads), self.options, self.inputs, cancellation)


@dataclass(frozen=True, slots=True)
class RecordingSource:
    """A recording, and files that it does not embed."""

    kind: ClassVar[str] = "a recording"
    path: Path
    payloads: tuple[PayloadSource, ...] = ()
    kernel: Firmware | None = None

    def open(self, cancellation: Cancellation) -> Opened:
        """See `Source`."""
        file = RecordingFile(self.path)
        if is_of_kernel(file.header):
            kernel = RecordedKernel(file, [Path(str(one)) for one in self.payloads])
            run = _kernel_run(kernel.path, kernel.image, kernel.options, cancellation)
            return Opened(run, None, RunningComparison(kernel.events))
        recorded = Recorded(file, self.payloads, self.kernel)
        return _opened(
            list(recorded.payloads), recorded.options, recorded.inputs, cancellation, RunningComparison(recorded.events)
        )


@dataclass(frozen=True, slots=True)
class KernelSource:
    """A kernel image for the bare machine, with the options of `BareKernel`."""

    kind: ClassVar[str] = "a kernel image"
    path: Path
    options: KernelOptions

    def open(self, cancellation: Cancellation) -> Opened:
        """See `Source`."""
        return Opened(_kernel_run(self.path, read_file(self.path, IMAGE), self.options, cancellation), None)


def _kernel_run(path: Path, image: bytes, options: KernelOptions, cancellation: Cancellation) -> InspectedRun:
    make = partial(options.kernel, str(path), image, cancellation=cancellation)
    return InspectedRun(lambda recorder: make(recorder=recorder))


def _opened(
    payloads: list[PayloadSource],
    options: EnclaveOptions,
    inputs: tuple[AnyInput, ...],
    cancellation: Cancellation,
    comparison: RunningComparison | None = None,
) -> Opened:
    run = InspectedRun(enclave_of(payloads, options, inputs, cancellation=cancellation))
    alone = msgspec.structs.replace(options, verifier=None, tpm=None)
    sources = payloads[0] if len(payloads) == 1 else payloads
    return Opened(run, Scenario(sources, alone, inputs), comparison)


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
