"""Notebooks: what was asked of a run and what was answered, as a document that can be repeated."""

from enclave_sim.time_travel.notebook.document import Notebook, NotebookError, Question
from enclave_sim.time_travel.notebook.repetition import Difference, repeat
from enclave_sim.time_travel.notebook.walk import Walk

__all__ = ["Difference", "Notebook", "NotebookError", "Question", "Walk", "repeat"]
