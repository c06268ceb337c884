"""`enclave-sim boot`: run a kernel of your own on the machine, without an enclave.

The serial line goes to standard output, everything else to standard error: the screen, and why the run ended. Only the
machine is imported, and only when the command line has been parsed, so that this command starts as fast as a native
emulator.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from enclave_sim.cli.command import MACHINE, OUTPUT, command, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options import kernel
from enclave_sim.cli.options.host_limit import host_limit as host_limit_option
from enclave_sim.cli.options.host_limit import limited
from enclave_sim.cli.options.types import FILE, POSITIVE_TIME
from enclave_sim.cli.streams import OutputLost, has_reader
from enclave_sim.recording.text import one_line, printable

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.bare_kernel import BareKernel
    from machine.events import Recorder

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
    "--screen",
    metavar="FILE",
    shell_complete=FILE.shell_complete,
    help="Write the text on the screen at the end to FILE, or to standard output (-). Default: to standard error, if "
    "there is any.",
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
    screen: str | None,
) -> int:
    """Boot a kernel of your own on the machine, without an enclave.

    It is a Multiboot 1 or 2 kernel. Its serial line (COM1) goes to standard output. Times are virtual: nanoseconds, or
    with a unit, such as 1ms.

    Example: enclave-sim boot kernel.elf --append verbose --module initrd.img,initrd
    """
    options = kernel.kernel_options(append, module, ram, fw_cfg)
    options = replace(options, ns_per_instruction=ns_per_instruction, portable=portable)
    content = kernel.read_file(image)

    def make(recorder: "Recorder | None") -> "BareKernel":
        return options.kernel(image, content, recorder=recorder)

    with limited(host_limit):
        if record is None:
            return _run(make, None, timeout_ns, screen)
        from enclave_sim.cli.runs.boot_recording import recording_of  # noqa: PLC0415

        with recording_of(record, content, options, timeout_ns) as recorder:
            return _run(make, recorder, timeout_ns, screen)


def _run(
    make: "Callable[[Recorder | None], BareKernel]",
    recorder: "Recorder | None",
    timeout_ns: int | None,
    screen: str | None,
) -> int:
    from enclave_sim.cli.runs.boot_screen import shown  # noqa: PLC0415
    from enclave_sim.enclave.kernel.last_events import LastEvents  # noqa: PLC0415
    from machine.machine import Outcome  # noqa: PLC0415

    last = LastEvents(recorder)
    kernel = make(last)
    machine = kernel.machine
    for note in kernel.notes:
        _say("note", note)
    machine.uart.on_transmit = write = _standard_output()
    with shown(kernel.display, screen, write):
        while (outcome := kernel.advance(timeout_ns)) is Outcome.STOPPED:
            pass
    if kernel.exit_status is not None:
        return kernel.exit_status
    if outcome is Outcome.SHUTDOWN:
        from enclave_sim.enclave.kernel.triple_fault import explanation  # noqa: PLC0415

        for line in explanation(kernel, last.events, lambda: make(None)):
            print(printable(line), file=sys.stderr)
    code, words = {
        Outcome.LIMIT: (ExitCode.LIMIT, "virtual time reached --timeout-ns"),
        Outcome.HALTED: (ExitCode.HALTED, "the kernel halted, and nothing can wake it"),
        Outcome.SHUTDOWN: (ExitCode.SHUTDOWN, "triple fault"),
    }[outcome]
    _say("stopped", f"{words}; {machine.clock.now_ns} ns, RIP {machine.cpu.rip:#x}")
    return code


def _standard_output() -> Callable[[bytes], None]:
    """Return a function that writes bytes to standard output, unbuffered and unchanged."""
    output = sys.stdout.buffer

    def write(data: bytes) -> None:
        output.write(data)
        output.flush()
        if not has_reader():  # a kernel may print for ever
            raise OutputLost("cannot write to standard output: its reader has left")

    return write


def _say(kind: str, words: str) -> None:
    print(f"{kind}: {one_line(words)}", file=sys.stderr)
