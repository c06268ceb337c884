"""`enclave-sim firmware`: copy the kernel's sources, change them, and build a kernel for `--firmware`."""

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import click

from enclave_sim.cli.command import Group, option
from enclave_sim.cli.options.types import DIRECTORY, FILE
from enclave_sim.cli.output.written import keep, save
from enclave_sim.errors import ConfigurationError, installing
from enclave_sim.files.reading import DOCUMENT, read_file
from enclave_sim.files.writing import new_directory, write_files
from enclave_sim.reasons import reason
from enclave_sim.recording.text import plural, printable
from firmware import PARTS, built_in

_IMAGE = "aether.elf"


@click.group(cls=Group, no_args_is_help=True)
def firmware() -> None:
    """Change the kernel: copy its sources, build them, and run the result with --firmware.

    Example: enclave-sim firmware new mine
    """


@firmware.command()
@click.argument("directory", type=DIRECTORY, metavar="DIR", help="Directory to make.")
def new(directory: Path) -> None:
    """Copy the kernel's sources to a new directory.

    Example: enclave-sim firmware new mine
    """
    if directory.exists():
        raise ConfigurationError(f"{directory} exists; name a directory to make")
    home = built_in().path.parent
    found = {directory / one.relative_to(home): read_file(one, DOCUMENT) for one in _sources(home)}
    with ExitStack() as made:
        for one in (directory, *(directory / part for part in PARTS)):
            made.enter_context(new_directory(one))
        write_files(found)
    files = plural(len(found), "file")
    name = printable(str(directory))
    click.echo(f"wrote {name}: {files}; build them by: enclave-sim firmware build {name}")


def _sources(home: Path) -> Iterator[Path]:
    for part in PARTS:
        yield from sorted(one for one in (home / part).iterdir() if one.is_file())


@firmware.command()
@click.argument("directory", type=DIRECTORY, metavar="DIR", help="Directory with the sources, made by firmware new.")
@option("--output", "-o", type=FILE, metavar="FILE", help=f"Image to write. Default: {_IMAGE} in DIR.")
def build(directory: Path, output: Path | None) -> None:
    """Build a kernel from its sources. The same sources give the same image, byte for byte.

    Example: enclave-sim firmware build mine
    """
    if not directory.is_dir():
        raise ConfigurationError(f"there is no directory {directory}; enclave-sim firmware new makes one")
    for part in PARTS:
        if not (directory / part).is_dir():
            raise ConfigurationError(f"{directory} has no directory {part!r}, as enclave-sim firmware new makes it")
    goal = output or directory / _IMAGE
    keep(dict.fromkeys(_sources(directory), "a source"), goal)
    if find_spec("ziglang") is None:
        raise ConfigurationError(f"the compiler is not installed: {installing('firmware')}")
    from enclave_sim.enclave.kernel.firmware_file import firmware_of  # noqa: PLC0415
    from firmware.build import BuildError  # noqa: PLC0415 - it loads pyelftools
    from firmware.build import build as built  # noqa: PLC0415

    parts = [directory.absolute() / part for part in PARTS]
    try:
        image, _ = built(*parts)
    except (BuildError, OSError) as error:
        raise ConfigurationError(str(error)) from None
    try:
        version = firmware_of(image).description.version
    except ValueError as error:
        raise ConfigurationError(f"{directory} builds no firmware for this program: {reason(error)}") from None
    save(goal, image, f"firmware {version}")
