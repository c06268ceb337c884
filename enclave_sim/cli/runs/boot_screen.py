"""The screen after `enclave-sim boot`, shown however the run ended."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enclave_sim.errors import HostLimitReached
from enclave_sim.recording.text import printable

if TYPE_CHECKING:
    from machine.devices.legacy.vga import Vga

_GRAPHICS = "the screen is in a graphics mode, which this machine does not show"


@contextmanager
def shown(display: "Vga", destination: str | None, write: Callable[[bytes], None]) -> Iterator[None]:
    """A scope that shows the screen text at its end, even after Ctrl-C or a host limit.

    Args:
        display: The display adapter.
        destination: A file, or `-` for standard output; None to show the screen on standard error if it is not blank.
        write: Writes to standard output.

    Raises:
        ConfigurationError: The file cannot be written, or it is a recording.
    """
    if destination is None:
        try:
            yield
        finally:
            _print(display)
    elif destination == "-":
        try:
            yield
        finally:
            write(_text(display))
    else:
        from enclave_sim.cli.output.written import is_replaced, keep  # noqa: PLC0415
        from enclave_sim.files.writing import output_file  # noqa: PLC0415

        keep({}, Path(destination))
        replaced = is_replaced(Path(destination))
        early: BaseException | None = None
        with output_file(Path(destination), "write the screen to") as file:
            try:
                yield
            except (KeyboardInterrupt, HostLimitReached) as error:
                early = error
            file.write(_text(display))
        if replaced:
            click.echo(f"note: replaced the file {printable(destination)}", err=True)
        if early is not None:
            raise early


def _lines(display: "Vga") -> list[str]:
    screen = display.screen()
    return [_GRAPHICS] if screen is None else screen.lines()


def _text(display: "Vga") -> bytes:
    return "".join(f"{line}\n" for line in _lines(display)).encode()


def _print(display: "Vga") -> None:
    lines = _lines(display)
    if lines:
        print("screen:", *(f"  {line}".rstrip() for line in lines), sep="\n", file=sys.stderr)
