"""Judging a lab in the background: a thread waits for the answer."""

import threading
from collections.abc import Callable

from enclave_sim.errors import EnclaveError
from enclave_sim.inspector.model.task import LabTask, Task
from machine.errors import MachineError


class Judging:
    """One judgement of a lab's files."""

    def __init__(self, lab: LabTask) -> None:
        self._lab = lab
        self._thread = threading.Thread(target=self._work, name="judging", daemon=True)
        self._notify: Callable[[Task | str], None] = lambda _found: None

    @property
    def goes_on(self) -> bool:
        """True while it is running."""
        return self._thread.is_alive()

    def start(self, notify: Callable[[Task | str], None]) -> None:
        """Start it. `notify` is called from its thread with the task, or with the reason why it cannot be judged."""
        self._notify = notify
        self._thread.start()

    def _work(self) -> None:
        try:
            self._notify(self._lab.judged())
        except (EnclaveError, MachineError) as error:
            self._notify(str(error))
