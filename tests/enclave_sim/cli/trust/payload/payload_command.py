"""Runs `enclave-sim payload` in this process."""

from pathlib import Path

from tests.enclave_sim.cli.command import Ended, command


def run(*arguments: str | Path) -> Ended:
    return command("payload", *arguments)
