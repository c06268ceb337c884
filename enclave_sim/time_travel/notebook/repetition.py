"""Repeating a notebook: its run is made again, asked the same questions, and the answers are compared."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from enclave_sim.enclave.configuration import PayloadSource
from enclave_sim.enclave.header import EXTERNAL
from enclave_sim.errors import ConfigurationError
from enclave_sim.recording.format import RecordingError
from enclave_sim.time_travel.notebook.document import Notebook, NotebookError
from enclave_sim.time_travel.notebook.questions import QuestionError, answer
from enclave_sim.time_travel.replay import making
from enclave_sim.time_travel.session import enclave_of
from enclave_sim.time_travel.travel import Travel
from firmware import Firmware


@dataclass(frozen=True, slots=True)
class Difference:
    """A question that was answered in another way."""

    number: int
    """The number of the question in the notebook, from 1."""
    question: str
    first: str
    """The answer in the notebook."""
    second: str
    """The answer of the run."""


def repeat(
    notebook: Notebook, payloads: Iterable[PayloadSource] = (), kernel: Firmware | None = None
) -> Iterator[Difference]:
    """Repeat a notebook.

    Args:
        notebook: The notebook.
        payloads: Candidates, by SHA-256, for payloads that are neither embedded nor built in.
        kernel: The firmware of the run; None for the built-in one.

    Yields:
        The answers that differ, in order.

    Raises:
        NotebookError: Its run cannot be made here, or a question is none.
    """
    header = notebook.header
    if header.configuration.get("verifier") == EXTERNAL:
        raise NotebookError("its run had a verifier outside the emulator, whose answers are not in the notebook")
    try:
        found, options = making(header, payloads, (), kernel)
        run = Travel(enclave_of(found, options, header.inputs))
    except (RecordingError, ConfigurationError) as error:
        raise NotebookError(f"its run cannot be made: {error}") from None
    for number, one in enumerate(notebook.questions, start=1):
        try:
            said = answer(run, one.question)
        except QuestionError as error:
            raise NotebookError(f"question {number}: {error}") from None
        if said != one.answer:
            yield Difference(number, one.question, one.answer, said)
