"""Runs executed in both directions, as commands are asked for them: payloads, a recording, or a kernel image."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from enclave_sim.cli.options import applicability, common, kernel
from enclave_sim.cli.options import run as options
from enclave_sim.cli.options.applicability import KERNEL, PAYLOADS, RECORDING
from enclave_sim.cli.options.firmware import firmware
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.errors import ConfigurationError
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.recording.format import is_recording

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.bare_kernel import BareKernel, KernelOptions
    from enclave_sim.time_travel.recorded.run import RecordedRun
    from enclave_sim.time_travel.travel import Travel
    from machine.events import Recorder

ANY = PAYLOADS, RECORDING, KERNEL
"""The kinds of subjects."""
_WHAT = click.argument(
    "what",
    nargs=-1,
    metavar="[PAYLOAD|RECORDING|IMAGE]...",
    shell_complete=common.complete_payload,
    help=f"Payloads that take turns, a recording, or a Multiboot kernel. Default: {common.DEFAULT_PAYLOAD}",
)
_OPTIONS = (
    *(options.cycles, options.wake_ns, options.quantum_ns, options.sensor0, options.sensor1, options.inputs),
    *(options.engine, options.verify, firmware, options.trust_anchor, options.feature, options.attestation),
    *(options.payload, kernel.append, kernel.module, kernel.ram, kernel.fw_cfg, kernel.serial),
)


class Subject(msgspec.Struct, frozen=True):
    """The subject of a command, and the options for it."""

    names: tuple[str, ...]
    image: str | None
    """The kernel image among the names; None for payloads and recordings."""
    recording: Path | None
    """The recording, if that is named."""
    payloads: tuple[str, ...]
    """Files that the recording does not embed."""
    configuration: EnclaveConfiguration
    inputs: Path | None
    trust_anchors: tuple[Path, ...]
    bare: "KernelOptions"
    serial: str | None

    def check(self, own: Mapping[str, tuple[str, ...]]) -> None:
        """Raise ConfigurationError for an option that does not apply.

        Args:
            own: As for `applicability.check`, the options of the command itself.
        """
        kernels = applicability.KERNELS | {"serial": (KERNEL,), "what": ANY}
        recordings = {"payload": (RECORDING,), "firmware": (PAYLOADS, RECORDING)}
        kind = RECORDING if self.recording is not None else PAYLOADS if self.image is None else KERNEL
        applicability.check(kind, {**kernels, **recordings, **own})

    def run(self) -> "Travel[Any]":
        """Return the run, at its beginning. Raises EnclaveError if it is not possible."""
        from enclave_sim.time_travel.travel import Travel  # noqa: PLC0415 - unicorn and wasmtime take 100 ms

        if self.recording is not None:
            recorded = self.recorded(self.recording)
            return Travel(recorded.maker(), recorded.events)
        return Travel(self.maker())

    def maker(self) -> "Callable[[Recorder], Any]":
        """Return what makes the enclave or the kernel, given its recorder. Raises EnclaveError if it cannot be."""
        if self.image is not None:
            return kernel_of(self.image, self.bare, self.serial)
        if self.recording is not None:
            return self.recorded(self.recording).maker()
        from enclave_sim.enclave.options import EnclaveOptions  # noqa: PLC0415 - unicorn and wasmtime take 100 ms
        from enclave_sim.time_travel.session import enclave_of  # noqa: PLC0415

        anchors = (development_anchor(), *map(TrustAnchor.load, self.trust_anchors))
        taken = options.read_given_inputs(self.inputs, self.configuration.engine)
        return enclave_of(self.names, EnclaveOptions(self.configuration, trust_anchors=anchors), taken)

    def recorded(self, recording: Path) -> "RecordedRun":
        """Return the run of a recording. Raises EnclaveError if it cannot be made here."""
        from enclave_sim.time_travel.recorded.run import recorded_run  # noqa: PLC0415

        return recorded_run(recording, self.payloads, self.configuration.firmware)


def of_subject(command: Callable[..., Any]) -> Callable[..., Any]:
    """Declare the argument and the options of a subject. The command gets them as one argument, `subject`."""

    @options.configured
    @wraps(command)
    def with_subject(
        *,
        configuration: EnclaveConfiguration,
        what: Sequence[str],
        inputs: Path | None,
        trust_anchor: Sequence[Path],
        payload: Sequence[str],
        append: str,
        module: Sequence[tuple[bytes, str]],
        ram: int,
        fw_cfg: Sequence[tuple[str, bytes]],
        serial: str | None,
        **given: Any,
    ) -> Any:
        names = tuple(common.or_default(what, configuration.engine))
        bare = kernel.kernel_options(append, module, ram, fw_cfg)
        recording = recording_among(names)
        image = image_among(names) if recording is None else None
        subject = Subject(
            names, image, recording, tuple(payload), configuration, inputs, tuple(trust_anchor), bare, serial
        )
        return command(subject=subject, **given)

    declared: Callable[..., Any] = with_subject
    for declare in reversed((_WHAT, *_OPTIONS)):
        declared = declare(declared)
    return declared


def recording_among(names: Sequence[str]) -> Path | None:
    """Return the recording among names of payloads, or None. Raises ConfigurationError if it is not alone."""
    found = next((name for name in names if is_recording(Path(name))), None)
    if found is not None and len(names) > 1:
        raise ConfigurationError(f"{found} is {RECORDING}, which must be named alone")
    return None if found is None else Path(found)


def image_among(names: Sequence[str]) -> str | None:
    """Return the kernel image among names of payloads and images, or None. Raises ConfigurationError if not alone."""
    from enclave_sim.enclave.kernel.bare_kernel import is_kernel_image  # noqa: PLC0415 - only some commands need it

    found = next((name for name in names if is_kernel_image(Path(name))), None)
    if found is not None and len(names) > 1:
        raise ConfigurationError(f"{found} is a kernel image, which runs alone")
    return found


def kernel_run(path: str, options: "KernelOptions", serial: str | None) -> "Travel[Any]":
    """Return the run of a kernel image. Raises ConfigurationError if it cannot be loaded."""
    from enclave_sim.time_travel.travel import Travel  # noqa: PLC0415 - unicorn and wasmtime take 100 ms

    return Travel(kernel_of(path, options, serial))


def kernel_of(path: str, options: "KernelOptions", serial: str | None) -> "Callable[[Recorder], BareKernel]":
    """Return what makes a kernel, given its recorder. Raises ConfigurationError if it cannot be loaded."""
    from enclave_sim.cli.runs.boot_serial import recorded  # noqa: PLC0415 - unicorn and wasmtime take 100 ms

    if serial is not None:
        options = msgspec.structs.replace(options, typed=recorded(serial))
    image = kernel.read_file(path)
    return lambda recorder: options.kernel(path, image, recorder=recorder)
