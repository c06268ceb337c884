"""A kernel of one's own on the bare machine, without an enclave: what `enclave-sim boot` runs.

Of this package only what is as light as its errors is imported before somebody asks for symbols: `boot` is to start as
fast as a native emulator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.host_limit import run_machine
from enclave_sim.errors import ConfigurationError
from machine.boot import loader
from machine.errors import MachineError
from machine.machine import Machine, MachineConfiguration, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from enclave_sim.enclave.kernel.program import Program
    from machine.events import Recorder
    from machine.snapshot import MachineSnapshot

RAM_BYTES = 128 << 20
"""Unless told otherwise."""


@dataclass(frozen=True, slots=True)
class BareSnapshot:
    """What `BareKernel.snapshot` took."""

    machine: "MachineSnapshot"


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """What a kernel is booted with besides its image; see `BareKernel`."""

    command_line: str = ""
    modules: tuple[tuple[bytes, str], ...] = ()
    """Content and command line of each."""
    ram_bytes: int = RAM_BYTES
    ns_per_instruction: int = 1
    portable: bool = False
    files: "Mapping[str, bytes]" = field(default_factory=dict)
    """The files that fw_cfg hands out, by name."""

    def kernel(
        self,
        name: str,
        image: bytes,
        *,
        recorder: "Recorder | None" = None,
        cancellation: Cancellation | None = None,
    ) -> "BareKernel":
        """Make a kernel with these options. Raises ConfigurationError for what cannot be loaded."""
        return BareKernel(
            name,
            image,
            command_line=self.command_line,
            modules=self.modules,
            ram_bytes=self.ram_bytes,
            ns_per_instruction=self.ns_per_instruction,
            portable=self.portable,
            files=self.files,
            recorder=recorder,
            cancellation=cancellation,
        )


class BareKernel:
    """A Multiboot 1 or 2 image, loaded and about to start. `files` are what fw_cfg hands out, by name.

    Raises ConfigurationError for what cannot be loaded.
    """

    in_guest = False

    def __init__(
        self,
        name: str,
        image: bytes,
        *,
        command_line: str = "",
        modules: Sequence[tuple[bytes, str]] = (),
        ram_bytes: int = RAM_BYTES,
        ns_per_instruction: int = 1,
        portable: bool = False,
        files: Mapping[str, bytes] | None = None,
        recorder: "Recorder | None" = None,
        cancellation: Cancellation | None = None,
    ) -> None:
        self.name = name
        self.cancellation = cancellation or Cancellation()
        """For those who run it; nothing here takes long by itself."""
        self._image = image
        configuration = MachineConfiguration(
            ram_bytes, ns_per_instruction, portable=portable, engines=False, files=dict(files or {})
        )
        try:
            self.machine = Machine(configuration, recorder)
            self._loaded = loader.load(self.machine, image, command_line, [loader.Module(*one) for one in modules])
        except (MachineError, MemoryError) as error:
            raise ConfigurationError(f"cannot boot {name}: {error}") from None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the image would have liked and did not get."""
        return self._loaded.notes

    @property
    def exit_status(self) -> int | None:
        """What the kernel has left with, through isa-debug-exit; None while it has not."""
        status = self.machine.debug_exit.status
        return None if status is None else status & 0xFF

    @property
    def ended(self) -> str | None:
        """How the kernel has ended, in words; None while it goes on, or sleeps for good."""
        if self.exit_status is not None:
            return f"left, exit status {self.exit_status}"
        return "triple fault" if self.machine.shut_down else None

    @cached_property
    def program(self) -> "Program":
        """What is known of the image."""
        from enclave_sim.enclave.kernel.program import program_of  # noqa: PLC0415 - only for those who ask

        return program_of(self.name, self._image, self._loaded)

    @property
    def between_steps(self) -> bool:
        """Whether a step has just ended; see `Machine.between_steps`."""
        return self.machine.between_steps

    def step(self) -> bool:
        """Let one thing happen. False at the end: halted for good, a triple fault, or the debug exit."""
        return self.exit_status is None and self.machine.step() is None

    def advance(self, limit_ns: int | None = None) -> Outcome:
        """Go on until something stops the machine. `HALTED` also where the kernel has left.

        Raises HostLimitReached within a `HostLimit`.
        """
        outcome = Outcome.HALTED if self.exit_status is not None else run_machine(self.machine, limit_ns)
        return Outcome.HALTED if self.exit_status is not None else outcome

    def snapshot(self) -> BareSnapshot:
        """All of its state."""
        return BareSnapshot(self.machine.snapshot())

    def restore(self, snapshot: BareSnapshot) -> None:
        """Return to a snapshot of this kernel."""
        self.machine.restore(snapshot.machine)


def is_kernel_image(path: "Path") -> bool:
    """Whether there is a file that the boot loader is meant for."""
    try:
        return path.is_file() and loader.is_image(path.read_bytes())
    except OSError:
        return False
