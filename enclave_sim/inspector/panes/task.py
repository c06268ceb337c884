"""The pane of a lab: its task beside the machine. It is there only if a lab is open."""

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from enclave_sim.errors import EnclaveError
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.model.task import LabTask, Task, TaskView, task_view
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.threads.judging_thread import Judging
from machine.errors import MachineError

_LOOK_S = 1.0
"""Seconds between two looks at the files."""


class TaskPane(Pane):
    """The task of a lab: its parts, with a tick when they are done, and its text."""

    NAME, TITLE, TAB, KEY = "lab", "Lab", "Lab", "A"
    HELP = """The lab's parts, each with its points, what is missing, and the hints that
you asked for; below, the text. Whenever a file that you hand in has
changed it is judged again, in the background.
I asks for one more hint about the part of the row or, if it is done, about
the first one that is not. Whatever the hints name is marked in all panes."""
    FOOTER = "I hint  J judge now"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("I", "hint", "one more hint about the part of the row", show=False),
        Binding("J", "judge", "judge what there is now", show=False),
    ]

    def __init__(self, lab: LabTask) -> None:
        super().__init__()
        self._lab = lab
        self._found: Task | None = None
        self._stamp: object = None
        self._judging: Judging | None = None

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        width, task, going_on = self.content_size.width - 1, self._found, self._goes_on
        return lambda _moment: task_view(task, width, going_on)

    def on_mount(self) -> None:
        """Judge what there is, and look at the files from time to time."""
        self.look()
        self.set_interval(_LOOK_S, self.look)

    def on_unmount(self) -> None:
        """End a judgement with the screen."""
        self._lab.close()

    def on_resize(self) -> None:
        """Wrap the text again, for the new width."""
        super().on_resize()
        self.post_message(self.Asks())

    def look(self) -> None:
        """Judge the files if one of them has changed since they were judged last."""
        if not self._goes_on and self._lab.stamp() != self._stamp:
            self.action_judge()

    def action_judge(self) -> None:
        """Judge the files in the background."""
        if self._goes_on:
            return
        self._stamp = self._lab.stamp()
        self._judging = Judging(self._lab)
        self._judging.start(self._notify)
        self.post_message(self.Asks())

    def action_hint(self) -> None:
        """Ask for one more hint about the part of the row under the cursor, or the first that lacks points."""
        if self._found is None or not self._found.parts:
            return
        parts = self.view.parts if isinstance(self.view, TaskView) else ()
        here = parts[self.cursor] if self.cursor < len(parts) else self._found.parts[0].name
        try:
            self._set(self._lab.hinted(self._found.unsolved(here)))
        except (EnclaveError, MachineError) as error:
            self._set(str(error))

    @property
    def _goes_on(self) -> bool:
        return self._judging is not None and self._judging.goes_on

    class Judged(Message):
        """The judgement is there."""

        def __init__(self, found: Task | str) -> None:
            super().__init__()
            self.found = found

    class Marked(Message):
        """Other names are marked."""

        def __init__(self, names: frozenset[str]) -> None:
            super().__init__()
            self.names = names

    def _notify(self, found: Task | str) -> None:
        self.post_message(self.Judged(found))

    def on_task_pane_judged(self, message: Judged) -> None:
        """Show a judgement."""
        self._judging = None
        self._set(message.found)

    def _set(self, found: Task | str) -> None:
        if isinstance(found, Task):
            self._found = found
        elif self._found is not None:
            self._found = Task(self._found.title, self._found.background, self._found.parts, found)
        else:
            self._found = Task(found, "", ())
        self.post_message(self.Marked(self._found.marked))
        self.post_message(self.Asks())
