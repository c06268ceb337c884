"""`enclave-sim boot`: run your own kernel on the machine, without an enclave.

Serial output goes to standard output; the screen and the reason for the end go to standard error. Only the machine is
imported, and only after the command line has been parsed, so that this command starts as fast as a native emulator.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import msgspec

from enclave_sim.cli.command import MACHINE, OUTPUT, command, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options import kernel
from enclave_sim.cli.options.host_limit import host_limit as host_limit_option
from enclave_sim.cli.options.host_limit import limited
from enclave_sim.cli.options.types import FILE, POSITIVE_TIME
from enclave_sim.cli.streams import OutputLost, has_reader
from enclave_sim.recording.text import one_line, printable

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.bare_kernel import BareKernel, KernelOptions
    from enclave_sim.enclave.kernel.last_events import LastEvents
    from machine.events import Recorder
    from machine.machine import Outcome

_STDIO = "stdio"
EXIT_CODES = """\b
Exit codes
  Odd, if the kernel writes VALUE to port 0xF4 (isa-debug-exit):
  VALUE * 2 + 1, modulo 256. Otherwise even:
    2  an invalid option or file, the image cannot boot, or output was lost
    6  virtual time reached --timeout-ns
    8  the kernel halted, and nothing can wake it
   10  triple fault
   16  the host-time limit --host-limit expired
   70  a defect of the emulator
  130  interrupted with Ctrl-C"""


@command(epilog=EXIT_CODES)
@click.argument(
    "image",
    metavar="IMAGE",
    help="ELF file, or flat image with load addresses in its header.",
    shell_complete=FILE.shell_complete,
)
@kernel.append
@kernel.module
@kernel.ram
@kernel.fw_cfg
@option("--timeout-ns", type=POSITIVE_TIME, metavar="TIME", help="Stop at this virtual time.", heading=MACHINE)
@host_limit_option
@kernel.ns_per_instruction
@kernel.portable
@option(
    "--record",
    metavar="FILE",
    shell_complete=FILE.shell_complete,
    help="Write every event to FILE, as JSON Lines.",
    heading=OUTPUT,
)
@option(
    "--serial",
    metavar="stdio|FILE",
    shell_complete=FILE.shell_complete,
    help="Send standard input (stdio), or the input recorded in FILE, to the kernel over its serial line.",
    heading=MACHINE,
)
@option(
    "--screen",
    metavar="FILE",
    shell_complete=FILE.shell_complete,
    help="Write the final screen text to FILE, or to standard output (-). Default: to standard error, unless blank.",
    heading=OUTPUT,
)
def boot(
    *,
    image: str,
    append: str,
    module: Sequence[tuple[bytes, str]],
    ram: int,
    fw_cfg: Sequence[tuple[str, bytes]],
    timeout_ns: int | None,
    host_limit: float | None,
    ns_per_instruction: int,
    portable: bool,
    record: str | None,
    serial: str | None,
    screen: str | None,
) -> int:
    """Boot your own Multiboot 1 or 2 kernel on the machine, without an enclave.

    Its serial output (COM1) goes to standard output. Times are virtual: nanoseconds, or with a unit, such as 1ms.

    Example: enclave-sim boot kernel.elf --module initrd.img,initrd
    """
    options = kernel.kernel_options(append, module, ram, fw_cfg)
    options = msgspec.structs.replace(options, ns_per_instruction=ns_per_instruction, portable=portable)
    if serial is not None and serial != _STDIO:
        from enclave_sim.cli.runs.boot_serial import recorded  # noqa: PLC0415

        options = msgspec.structs.replace(options, typed=recorded(serial))
    content = kernel.read_file(image)
    run = _Run(image, content, options, timeout_ns, screen, keys=serial == _STDIO)
    with limited(host_limit):
        if record is None:
            return run.run(None)
        from enclave_sim.cli.runs.boot_recording import recording_of  # noqa: PLC0415

        with recording_of(record, content, options, timeout_ns) as recorder:
            return run.run(recorder)


@dataclass(frozen=True)
class _Run:
    """A run, as specified on the command line."""

    name: str
    image: bytes
    options: "KernelOptions"
    timeout_ns: int | None
    screen: str | None
    keys: bool
    """True if standard input is the kernel's serial input."""

    def run(self, recorder: "Recorder | None") -> int:
        """Run the kernel to its end. Return the exit code."""
        from enclave_sim.cli.runs.boot_screen import shown  # noqa: PLC0415
        from enclave_sim.enclave.kernel.last_events import LastEvents  # noqa: PLC0415

        last = LastEvents(recorder)
        kernel = self.options.kernel(self.name, self.image, recorder=last)
        for note in kernel.notes:
            _say("note", note)
        kernel.machine.uart.on_transmit = write = _standard_output()
        with shown(kernel.display, self.screen, write):
            outcome = self._advance(kernel)
        if kernel.exit_status is not None:
            return kernel.exit_status
        return self._ended(kernel, outcome, last)

    def _advance(self, kernel: "BareKernel") -> "Outcome":
        from machine.machine import Outcome  # noqa: PLC0415

        outcome = Outcome.STOPPED
        if self.keys:
            from enclave_sim.cli.runs.boot_serial import run_with_keys  # noqa: PLC0415

            outcome = run_with_keys(kernel, self.timeout_ns)
        while outcome is Outcome.STOPPED and kernel.exit_status is None:
            outcome = kernel.advance(self.timeout_ns)
        return outcome

    def _ended(self, kernel: "BareKernel", outcome: "Outcome", last: "LastEvents") -> int:
        """Report why the run ended, unless the kernel exited by itself. Return the exit code."""
        from machine.machine import Outcome  # noqa: PLC0415

        if outcome is Outcome.SHUTDOWN:
            from enclave_sim.enclave.kernel.triple_fault import explanation  # noqa: PLC0415

            again = msgspec.structs.replace(self.options, typed=tuple(kernel.serial_input.typed))
            for line in explanation(kernel, last.events, lambda: again.kernel(self.name, self.image)):
                print(printable(line), file=sys.stderr)
        code, words = {
            Outcome.LIMIT: (ExitCode.LIMIT, "virtual time reached --timeout-ns"),
            Outcome.HALTED: (ExitCode.HALTED, "the kernel halted, and nothing can wake it"),
            Outcome.SHUTDOWN: (ExitCode.SHUTDOWN, "triple fault"),
        }[outcome]
        _say("stopped", f"{words}; {kernel.machine.clock.now_ns} ns, RIP {kernel.machine.cpu.rip:#x}")
        return code


def _standard_output() -> Callable[[bytes], None]:
    """Return a function that writes bytes to standard output, unbuffered and unchanged."""
    output = sys.stdout.buffer

    def write(data: bytes) -> None:
        output.write(data)
        output.flush()
        if not has_reader():  # a kernel may print forever
            raise OutputLost("cannot write to standard output: its reader has exited")

    return write


def _say(kind: str, words: str) -> None:
    print(f"{kind}: {one_line(words)}", file=sys.stderr)
