"""The options of the commands that run the user's own kernel. It imports little, because `boot` uses it.

All functions raise ConfigurationError for invalid texts and unreadable files.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from enclave_sim.cli.command import KERNEL, MACHINE, option
from enclave_sim.cli.options.types import FILE, POSITIVE_TIME, TEXT, Parsed, utf8
from enclave_sim.errors import ConfigurationError
from enclave_sim.files import reading

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.bare_kernel import KernelOptions

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def read_file(path: str) -> bytes:
    """Read a file to load into the machine. Raises ConfigurationError for an empty name, as of an unset variable."""
    if not path:
        raise ConfigurationError("'' is not the name of a file")
    return reading.read_file(path, reading.IMAGE)


def read_module(text: str) -> tuple[bytes, str]:
    """Read `FILE[,TEXT]`: a file to load with the kernel, and its command line."""
    path, _, line = text.partition(",")
    return read_file(path), utf8(line)


def named_file(text: str) -> tuple[str, bytes]:
    """Read `NAME=FILE`: a file for fw_cfg."""
    name, found, path = text.partition("=")
    if not found or not name:
        raise ConfigurationError(f"{text!r} is not NAME=FILE (such as opt/test=data.bin)")
    return utf8(name), read_file(path)


def size(text: str) -> int:
    """Parse a memory size, with or without a unit. Return it in bytes."""
    unit = _UNITS.get(text[-1:].upper())
    try:
        count = int(text[:-1] if unit else text, 0) * (unit or 1)
    except ValueError:
        raise ConfigurationError(f"{text!r} is not a size (such as 64M, 1G or 134217728)") from None
    from machine.bus.bus import MMIO_BASE  # noqa: PLC0415
    from machine.bus.ram import PAGE_SIZE  # noqa: PLC0415

    if not 2 << 20 <= count <= MMIO_BASE or count % PAGE_SIZE:
        raise ConfigurationError(f"{text!r} is not from 2M to {MMIO_BASE >> 20}M in steps of {PAGE_SIZE} bytes")
    return count


serial = option(
    "--serial",
    metavar="FILE",
    shell_complete=FILE.shell_complete,
    help="Feed the kernel the serial input that the recording FILE contains.",
    heading=MACHINE,
)
append = option(
    "--append",
    type=TEXT,
    metavar="TEXT",
    default="",
    show_default=False,
    help="Command line for the kernel.",
    heading=KERNEL,
)
module = option(
    "--module",
    metavar="FILE[,TEXT]",
    type=Parsed(read_module, "file"),
    shell_complete=FILE.shell_complete,
    multiple=True,
    help="File to load with the kernel, and its command line; may be repeated.",
    heading=KERNEL,
)
ram = option(
    "--ram",
    metavar="SIZE",
    type=Parsed(size, "size"),
    default="128M",
    help="Size of memory: 64M, 1G or a number of bytes.",
    heading=KERNEL,
)
fw_cfg = option(
    "--fw-cfg",
    metavar="NAME=FILE",
    type=Parsed(named_file, "file"),
    multiple=True,
    help="File for the kernel to read through fw_cfg, under a name such as opt/test; may be repeated.",
    heading=KERNEL,
)
ns_per_instruction = option(
    "--ns-per-instruction",
    type=POSITIVE_TIME,
    metavar="TIME",
    default="1ns",
    help="Time that one instruction takes.",
    heading=MACHINE,
)
portable = option(
    "--portable", is_flag=True, help="Use no native code on this host: slower, same digest.", heading=MACHINE
)


def kernel_options(
    append: str, modules: Sequence[tuple[bytes, str]], ram: int, fw_cfg: Sequence[tuple[str, bytes]]
) -> "KernelOptions":
    """Return these options for a `BareKernel`."""
    from enclave_sim.enclave.kernel.bare_kernel import KernelOptions  # noqa: PLC0415 - it loads the machine

    return KernelOptions(command_line=append, modules=tuple(modules), ram_bytes=ram, files=dict(fw_cfg))
