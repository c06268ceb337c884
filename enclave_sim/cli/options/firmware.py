"""The option `--firmware`: boot another build of the kernel."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from enclave_sim.cli.command import MACHINE, option
from enclave_sim.cli.options.types import FILE

if TYPE_CHECKING:
    from firmware import Firmware


def _read(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> "Firmware | None":
    if path is None:
        return None
    from enclave_sim.enclave.kernel.firmware_file import read_firmware  # noqa: PLC0415 - it loads pyelftools

    return read_firmware(path)


firmware = option(
    "--firmware",
    type=FILE,
    metavar="FILE",
    callback=_read,
    help="Kernel to boot instead of the built-in one, made by enclave-sim firmware build.",
    heading=MACHINE,
)
