"""`enclave-sim boot`: run a kernel of your own on the machine, without an enclave.

The serial line goes to standard output, everything else to standard error. Only the machine is imported, and only when
the command line has been parsed, so that this command starts as fast as a native emulator.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeVar

from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options.host_limit import limited, seconds
from enclave_sim.cli.options.kernel import RAM, module, named_file, read_file, size
from enclave_sim.errors import ConfigurationError, EnclaveError, HostLimitReached
from enclave_sim.recording.text import one_line

if TYPE_CHECKING:
    from machine.events import Recorder

_T = TypeVar("_T")
_LARGEST_NUMBER = (1 << 62) - 1
_EPILOG = """\
exit codes:
  Odd, if the kernel writes VALUE to port 0xF4 (isa-debug-exit):
  VALUE * 2 + 1, modulo 256. Otherwise even:
    2  an invalid option or file, or the image cannot boot
    6  virtual time reached --timeout-ns
    8  the kernel halted, and nothing can wake it
   10  triple fault
   16  the host-time limit --host-limit expired
   70  a defect of the emulator
  130  interrupted with Ctrl-C

example:
  enclave-sim boot kernel.elf --append verbose --module initrd.img,initrd
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message}; see {self.prog} --help")


def boot(arguments: Sequence[str]) -> int:
    """Run `enclave-sim boot` with these arguments. Return the exit code."""
    try:
        options = parser().parse_args(arguments)
        with limited(options.host_limit):
            return _boot(options)
    except HostLimitReached as error:
        _say("stopped", str(error))
        return ExitCode.HOST_LIMIT
    except EnclaveError as error:
        _say("error", str(error))
        return ExitCode.USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="enclave-sim boot",
        description="Boot a Multiboot 1 or 2 kernel. Its serial line (COM1) goes to standard output.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("image", metavar="IMAGE", help="ELF file, or flat image with load addresses in its header")
    parser.add_argument("--append", metavar="TEXT", default="", help="command line for the kernel")
    parser.add_argument(
        "--module",
        metavar="FILE[,TEXT]",
        action="append",
        default=[],
        help="file to load with the kernel, and its command line; may be repeated",
    )
    parser.add_argument(
        "--ram",
        metavar="SIZE",
        type=_argument(size),
        default=RAM,
        help=f"size of memory: 64M, 1G or a number of bytes; default: {RAM}",
    )
    parser.add_argument("--timeout-ns", metavar="N", type=_positive, help="stop at this virtual time; default: never")
    parser.add_argument(
        "--host-limit",
        metavar="TIME",
        type=_argument(seconds),
        help="stop after this much host time, such as 10s or 5min; default: never",
    )
    parser.add_argument(
        "--ns-per-instruction",
        metavar="N",
        type=_positive,
        default=1,
        help="time that one instruction takes; default: 1",
    )
    parser.add_argument(
        "--fw-cfg",
        metavar="NAME=FILE",
        type=_argument(named_file),
        action="append",
        default=[],
        help="file for the kernel to read through fw_cfg, by a name such as opt/test; may be repeated",
    )
    parser.add_argument("--record", metavar="FILE", help="write every event to FILE, as JSON Lines")
    parser.add_argument("--portable", action="store_true", help="use no native code on this host: slower")
    return parser


def _argument(read: Callable[[str], _T]) -> Callable[[str], _T]:
    """Wrap a parser, so that argparse reports its error with the name of the option."""

    def convert(text: str) -> _T:
        try:
            return read(text)
        except ConfigurationError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _positive(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = 0
    if not 1 <= value <= _LARGEST_NUMBER:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number from 1 to {_LARGEST_NUMBER} (such as 1000000 or 1_000_000)"
        )
    return value


def _boot(options: argparse.Namespace) -> int:
    image = read_file(options.image)
    modules = list(map(module, options.module))
    if options.record is None:
        return _run(options, image, modules, None)
    from enclave_sim.cli.runs.boot_recording import recording_of  # noqa: PLC0415

    with recording_of(options, image, modules) as recorder:
        return _run(options, image, modules, recorder)


def _run(
    options: argparse.Namespace, image: bytes, modules: list[tuple[bytes, str]], recorder: "Recorder | None"
) -> int:
    from enclave_sim.enclave.kernel.bare_kernel import BareKernel  # noqa: PLC0415
    from machine.machine import Outcome  # noqa: PLC0415

    kernel = BareKernel(
        options.image,
        image,
        command_line=options.append,
        modules=modules,
        ram_bytes=options.ram,
        ns_per_instruction=options.ns_per_instruction,
        portable=options.portable,
        files=dict(options.fw_cfg),
        recorder=recorder,
    )
    machine = kernel.machine
    for note in kernel.notes:
        _say("note", note)
    machine.uart.on_transmit = _serial_line()
    while (outcome := kernel.advance(options.timeout_ns)) is Outcome.STOPPED:
        pass
    if kernel.exit_status is not None:
        return kernel.exit_status
    code, words = {
        Outcome.LIMIT: (ExitCode.LIMIT, "virtual time reached --timeout-ns"),
        Outcome.HALTED: (ExitCode.HALTED, "the kernel halted, and nothing can wake it"),
        Outcome.SHUTDOWN: (ExitCode.SHUTDOWN, "triple fault"),
    }[outcome]
    _say("stopped", f"{words}; {machine.clock.now_ns} ns, RIP {machine.cpu.rip:#x}")
    return code


def _serial_line() -> Callable[[bytes], None]:
    """Return a function that writes bytes of the serial line to standard output, unbuffered and unchanged."""
    if sys.stdout is None:  # it was closed before the process began
        return lambda _: None
    descriptor = sys.stdout.fileno()

    def write(data: bytes) -> None:
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except BrokenPipeError:  # end by SIGPIPE as other programs do
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.raise_signal(signal.SIGPIPE)
        except OSError as error:
            raise ConfigurationError(f"cannot write to standard output: {error.strerror}") from None

    return write


def _say(kind: str, words: str) -> None:
    print(f"{kind}: {one_line(words)}", file=sys.stderr)
