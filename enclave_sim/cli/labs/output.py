"""Text output of the commands about labs."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from enclave_sim.recording.text import printable

if TYPE_CHECKING:
    from enclave_sim.labs.judging import Judgement
    from enclave_sim.labs.outputs import ListedLab

_WIDTH = 80


def print_list(rows: Sequence["ListedLab"]) -> None:
    """Print the list of labs."""
    widest = max(len(row.name) for row in rows)
    for row in rows:
        click.echo(f"{row.number:3}  {row.name:{widest}}  {row.points:3} points  {row.title}")


def print_judgement(judgement: "Judgement") -> None:
    """Print a judgement: points by part, and a message for each wrong answer."""
    click.echo(f"lab {judgement.lab}, student {judgement.student}: {judgement.points} of {judgement.of} points")
    for mark in judgement.parts:
        full = "✓" if mark.points == mark.of else " "
        click.echo(f" {full} {mark.part}: {mark.points} of {mark.of}")
        for message in mark.messages:
            text = textwrap.fill(printable(message), _WIDTH, initial_indent=" " * 5, subsequent_indent=" " * 7)
            click.echo(text)
