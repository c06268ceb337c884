"""`enclave-sim` with the command `gdb` alone: `python -m tests.enclave_sim.gdb.command_line`."""

import typer

from enclave_sim.cli.app import _Commands
from enclave_sim.cli.runs.gdb import EXIT_CODES, gdb

app = typer.Typer(cls=_Commands, rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False)
app.command(epilog=EXIT_CODES, no_args_is_help=False)(gdb)


@app.callback()
def enclave_sim() -> None:
    """Emulate the Aether Enclave."""


if __name__ == "__main__":
    app()
