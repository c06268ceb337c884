"""The walk: the movements and answers so far, kept to be saved as a notebook.

Each movement is kept as a question that leads to the position reached, after a remark with its name. A bare kernel has
no notebook, which could not be repeated.
"""

from pathlib import Path

from enclave_sim.errors import ConfigurationError
from enclave_sim.files.writing import write_file
from enclave_sim.inspector.desk import Desk
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.screens import Question
from enclave_sim.inspector.threads.session_thread import Job
from enclave_sim.time_travel.notebook import Notebook
from enclave_sim.time_travel.notebook import Question as Asked
from enclave_sim.time_travel.notebook.document import MOST
from enclave_sim.time_travel.notebook.questions import here


class WalkKeeper:
    """Keeps what the session's thread was asked."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._entries: list[Asked | str] = []
        """Only the session's thread touches it."""
        desk.keeping = self._keeping

    def _keeping(self, what: str, job: Job) -> Job:
        def kept(moment: Moment) -> str | None:
            before = moment.run.now
            said = job(moment)
            now = moment.run.now
            if len(self._entries) + 2 > MOST:
                return said
            if now != before:
                position = f"{now.at_ns}" + (f"+{now.step}" if now.step else "")
                self._entries += [f"{what}:", Asked(f"go_to {position}", here(moment.run))]
            elif said is not None and what:
                self._entries.append(f"{what}: {said}")
            return said

        return kept

    def ask_file(self) -> None:
        """Ask for a file, and save the walk there."""

        def answered(name: str | None) -> None:
            if name:
                self._desk.session.do("saving the walk", lambda moment: self._save(moment, Path(name)))

        help_text = "A file in Markdown, such as walk.md; enclave-sim notebook repeats it."
        self._desk.ask_user(Question("Save the walk so far as", help_text), answered)

    def _save(self, moment: Moment, path: Path) -> str:
        if moment.enclave is None:
            raise ConfigurationError("only the run of an enclave has a notebook; this is a bare kernel")
        notebook = Notebook(moment.enclave.header, list(self._entries))
        write_file(path, notebook.markdown().encode())
        return f"wrote {path}: {len(notebook.questions):,} positions"
