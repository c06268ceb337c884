"""`enclave-sim` with the command `verifier` alone: `python -m tests.enclave_sim.attestation.service.command_line`."""

import typer

from enclave_sim.cli.app import _Commands
from enclave_sim.cli.trust.verifier import verifier_app

app = typer.Typer(cls=_Commands, rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False)
app.add_typer(verifier_app, name="verifier")


@app.callback()
def enclave_sim() -> None:
    """Emulate the Aether Enclave."""


if __name__ == "__main__":
    app()
