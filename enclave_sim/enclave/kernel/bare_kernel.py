"""Your own kernel on the bare machine, without an enclave, as run by `enclave-sim boot`.

Only light modules are imported until symbols are needed, so that `boot` starts as fast as a native emulator.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave import due_inputs
from enclave_sim.enclave.kernel.serial_input import SerialInput
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import read_start
from machine.boot import loader
from machine.errors import MachineError
from machine.machine import Machine, MachineConfiguration, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from enclave_sim.enclave.kernel.program import Program
    from enclave_sim.inputs import AnyInput
    from enclave_sim.recording.format import Header
    from machine.devices.legacy.vga import Vga
    from machine.events import Recorder
    from machine.snapshot import MachineSnapshot

RAM_BYTES = 128 << 20
"""The default size of RAM."""


class BareSnapshot(msgspec.Struct, frozen=True):
    """The state of a kernel at one moment, as `BareKernel.snapshot` returns it."""

    machine: "MachineSnapshot"
    typed: int
    """The number of entries of `KernelOptions.typed` received so far."""


class KernelOptions(msgspec.Struct, frozen=True):
    """All boot options of a kernel besides its image; see `BareKernel`."""

    command_line: str = ""
    modules: tuple[tuple[bytes, str], ...] = ()
    """Content and command line of each module."""
    ram_bytes: int = RAM_BYTES
    ns_per_instruction: int = 1
    portable: bool = False
    files: "Mapping[str, bytes]" = msgspec.field(default_factory=dict)
    """The files that fw_cfg provides, by name."""
    typed: tuple[tuple[int, bytes], ...] = ()
    """Input over the serial line: virtual times in ns, in order, and bytes."""

    def kernel(
        self,
        name: str,
        image: bytes,
        *,
        recorder: "Recorder | None" = None,
        cancellation: Cancellation | None = None,
    ) -> "BareKernel":
        """Make a kernel with these options. Raises ConfigurationError if it cannot be loaded."""
        return BareKernel(
            name,
            image,
            command_line=self.command_line,
            modules=self.modules,
            ram_bytes=self.ram_bytes,
            ns_per_instruction=self.ns_per_instruction,
            portable=self.portable,
            files=self.files,
            typed=self.typed,
            recorder=recorder,
            cancellation=cancellation,
        )

    def header(self, image: bytes, timeout_ns: int | None = None) -> "Header":
        """Return the header of a recording of a run of an image that ends at `timeout_ns`, if that is given."""
        import hashlib  # noqa: PLC0415 - only recordings and links need it

        from enclave_sim.recording.format import Header  # noqa: PLC0415

        configuration = {
            "ram_size": self.ram_bytes,
            "ns_per_instruction": self.ns_per_instruction,
            "timeout_ns": timeout_ns,
            "command_line": self.command_line,
            "module_command_lines": [text for _, text in self.modules],
            "fw_cfg": {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()},
        }
        hashes = [hashlib.sha256(data).hexdigest() for data in (image, *(data for data, _ in self.modules))]
        return Header(configuration, hashes[0], tuple(hashes[1:]))


class BareKernel:
    """A Multiboot 1 or 2 image, loaded and about to start. The arguments are explained at `KernelOptions`.

    Raises ConfigurationError for an image that cannot be loaded.
    """

    in_guest = False
    is_over = False

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
        typed: Sequence[tuple[int, bytes]] = (),
        recorder: "Recorder | None" = None,
        cancellation: Cancellation | None = None,
    ) -> None:
        self.name = name
        self.cancellation = cancellation or Cancellation()
        """For callers that run the kernel; nothing here takes long by itself."""
        self._image = image
        self._options = KernelOptions(command_line, tuple(modules), ram_bytes, ns_per_instruction, files=files or {})
        configuration = MachineConfiguration(
            ram_bytes, ns_per_instruction, portable=portable, engines=False, display=True, files=dict(files or {})
        )
        try:
            self.machine = Machine(configuration, recorder)
            self.loaded = loader.load(self.machine, image, command_line, [loader.Module(*one) for one in modules])
        except MachineError as error:
            from enclave_sim.recording.format import BEGINNING  # noqa: PLC0415 - only a mistake needs it

            is_recording = image.startswith(BEGINNING)
            what = "it is a recording; enclave-sim replay repeats it, inspect shows it" if is_recording else error
            raise ConfigurationError(f"cannot boot {name}: {what}") from None
        self.serial_input = SerialInput(self.machine, typed)
        """The input over the serial line."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Requests of the image that the loader could not grant."""
        return self.loaded.notes

    @property
    def display(self) -> "Vga":
        """The display adapter."""
        assert self.machine.display is not None, "the machine was made with one"
        return self.machine.display

    @property
    def exit_status(self) -> int | None:
        """The exit status that the kernel wrote to isa-debug-exit; None before that."""
        status = self.machine.debug_exit.status
        return None if status is None else status & 0xFF

    def guest_store(self, _where: range) -> None:
        """See `Subject.guest_store`."""

    def conclude(self) -> bool:
        """See `Subject.conclude`."""
        return False

    @property
    def ended(self) -> str | None:
        """A description of how the kernel ended; None while it runs, or sleeps for good."""
        if self.exit_status is not None:
            return f"left, exit status {self.exit_status}"
        return "triple fault" if self.machine.shut_down else None

    @cached_property
    def header(self) -> "Header":
        """The header of a recording of the run; what is typed is not part of it."""
        return self._options.header(self._image)

    @cached_property
    def program(self) -> "Program":
        """Symbols, source lines and regions of the image."""
        from enclave_sim.enclave.kernel.program import program_of  # noqa: PLC0415 - only for those who ask

        return program_of(self.name, self._image, self.loaded)

    @property
    def between_steps(self) -> bool:
        """True if a step has just ended; see `Machine.between_steps`."""
        return due_inputs.between_steps(self.machine, self.serial_input)

    def step(self) -> bool:
        """Execute one step. Return False at the end: halted for good, a triple fault, or the debug exit."""
        return self.exit_status is None and due_inputs.step(self.machine, self.serial_input)

    def take(self, one: "AnyInput") -> None:
        """Let an input take effect now. Raises ConfigurationError unless it is a write to memory or a register."""
        from enclave_sim import events  # noqa: PLC0415 - only debuggers do this
        from enclave_sim.enclave.inputs.debugger_writes import write  # noqa: PLC0415
        from enclave_sim.enclave.inputs.validation import ordered  # noqa: PLC0415
        from enclave_sim.inputs import MemoryWrite, RegisterWrite, kind_of  # noqa: PLC0415

        if not isinstance(one, MemoryWrite | RegisterWrite):
            raise ConfigurationError(f"{kind_of(one)} is an input of enclaves; this is a bare kernel")
        ordered([one], self.machine.ram.size)
        write(self.machine, one)
        self.machine.clock.timeless_steps += 1
        self.machine.journal.emit(events.InputTaken, kind_of(one), None, one)

    def advance(self, limit_ns: int | None = None) -> Outcome:
        """Run until something stops the machine. Raises HostLimitReached within a `HostLimit`.

        Returns:
            The reason for the stop; `HALTED` also after the debug exit.
        """
        outcome = (
            Outcome.HALTED
            if self.exit_status is not None
            else due_inputs.run(self.machine, self.serial_input, limit_ns)
        )
        return Outcome.HALTED if self.exit_status is not None else outcome

    def snapshot(self) -> BareSnapshot:
        """Take a snapshot of its complete state."""
        return BareSnapshot(self.machine.snapshot(), self.serial_input.taken)

    def restore(self, snapshot: BareSnapshot) -> None:
        """Return to a snapshot of this kernel."""
        self.machine.restore(snapshot.machine)
        self.serial_input.taken = snapshot.typed


def is_kernel_image(path: "Path") -> bool:
    """Return True if the file exists and the boot loader can load it."""
    return loader.is_image(read_start(path, loader.SEARCHED_BYTES))
