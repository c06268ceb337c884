"""A walk: questions to a run, kept with their answers in a notebook."""

from typing import Any

from enclave_sim.time_travel.notebook.document import Notebook, Question
from enclave_sim.time_travel.notebook.questions import answer
from enclave_sim.time_travel.travel import Travel


class Walk:
    """Asks a run, and keeps what was asked and answered.

        from enclave_sim.time_travel import Session
        from enclave_sim.time_travel.notebook import Walk

        walk = Walk(Session("counter", cycles=2))
        walk.remark("Who writes the first frame?")
        walk.ask("run_to event=host_called")
        print(walk.notebook.markdown())

    Args:
        run: The run, at its beginning.
    """

    def __init__(self, run: Travel[Any]) -> None:
        self._run = run
        self.notebook = Notebook(run.subject.header)
        """All questions and remarks so far."""

    def ask(self, question: str) -> str:
        """Ask the run.

        Args:
            question: The question, such as `step 10` or `last_write 0x16eff8 8`.

        Returns:
            The answer.

        Raises:
            QuestionError: The text is not a question.
        """
        question = " ".join(question.split())
        said = answer(self._run, question)
        self.notebook.entries.append(Question(question, said))
        return said

    def remark(self, text: str) -> None:
        """Add a remark.

        Args:
            text: Markdown.
        """
        self.notebook.entries.append(text.strip("\n"))
