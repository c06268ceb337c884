"""A recording of `enclave-sim boot` as the source of a run. It embeds only file hashes, not the files."""

from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.kernel.bare_kernel import BareKernel, KernelOptions
from enclave_sim.enclave.kernel.serial_input import typed_in
from enclave_sim.files.reading import IMAGE, read_file
from enclave_sim.reasons import reason
from enclave_sim.recording.event_pages import EventPages
from enclave_sim.recording.format import Header, RecordingError
from enclave_sim.recording.reader import RecordingFile
from machine.bus.bus import MMIO_BASE
from machine.bus.ram import PAGE_SIZE
from machine.events import Recorder, SerialReceived

_Positive = Annotated[int, msgspec.Meta(ge=1, lt=1 << 62)]


class _Configuration(msgspec.Struct):
    """The configuration in the header written by `boot` (cli/runs/boot_recording.py)."""

    ram_size: Annotated[int, msgspec.Meta(ge=2 << 20, le=MMIO_BASE, multiple_of=PAGE_SIZE)]
    ns_per_instruction: _Positive
    command_line: str
    module_command_lines: list[str]
    fw_cfg: dict[str, str]
    """The SHA-256 of each file by its name."""


def is_of_kernel(header: Header) -> bool:
    """Return whether a recording is of a kernel on the bare machine."""
    return "module_command_lines" in header.configuration


class RecordedKernel:
    """The recording of a bare kernel: the image and the other arguments of `BareKernel`.

    Args:
        file: The recording.
        files: Candidates, by SHA-256, for the image, its modules and the files for fw_cfg.

    Raises:
        RecordingError: The recording is damaged, or a file is not among `files`.
        ConfigurationError: A file cannot be read.
    """

    def __init__(self, file: RecordingFile, files: Iterable[Path]) -> None:
        self._path = file.path
        self.events = EventPages(file, kept=(SerialReceived,))
        header = file.header
        try:
            configuration = msgspec.convert(header.configuration, _Configuration)
        except ValueError as error:
            raise RecordingError(
                f"{self._path}: its configuration is not one of this program: {reason(error)}"
            ) from None
        lines = configuration.module_command_lines
        if len(lines) != len(header.payload_sha256):
            raise RecordingError(
                f"{self._path}: it has {len(lines)} command lines for {len(header.payload_sha256)} modules"
            )
        contents = ((one, read_file(one, IMAGE)) for one in files)
        self._found = {sha256(data).hexdigest(): (path, data) for path, data in contents}
        self.path, self.image = self._find("the kernel", header.firmware_sha256)
        modules = [self._find(f"module {number}", one)[1] for number, one in enumerate(header.payload_sha256)]
        self.image_name = str(self.path)
        self.options = KernelOptions(
            command_line=configuration.command_line,
            modules=tuple(zip(modules, lines, strict=True)),
            ram_bytes=configuration.ram_size,
            ns_per_instruction=configuration.ns_per_instruction,
            files={name: self._find(name, one)[1] for name, one in configuration.fw_cfg.items()},
            typed=typed_in(self.events.kept),
        )

    def maker(self, cancellation: Cancellation | None = None) -> Callable[[Recorder], BareKernel]:
        """See `RecordedRun`."""
        make = partial(self.options.kernel, str(self.path), self.image, cancellation=cancellation)
        return lambda recorder: make(recorder=recorder)

    def _find(self, what: str, digest: str) -> tuple[Path, bytes]:
        if digest not in self._found:
            raise RecordingError(
                f"{self._path} does not embed {what}, a file with SHA-256 {digest}; give it with --payload"
            )
        return self._found[digest]
