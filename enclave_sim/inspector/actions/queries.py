"""Queries at the current position: the last write to some memory, and the guest's current function."""

from textual.timer import Timer

from enclave_sim.cancellation import Cancelled
from enclave_sim.errors import EnclaveError
from enclave_sim.inspector.desk import Desk
from enclave_sim.inspector.model.guest import find_guest
from enclave_sim.inspector.model.moment import LastWriter, Moment
from enclave_sim.inspector.panes.machine.bytes import BytesPane
from enclave_sim.inspector.threads.session_thread import Job
from machine.errors import MachineError


class Queries:
    """The query keys, and the query that the inspector makes when idle."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.idle_s = 0.3
        """Idle seconds before the search for the last writer of the row under the cursor."""
        self._idle: Timer | None = None

    def find_writer(self) -> None:
        """Search for the last write to the row's memory."""
        target = self._desk.pane.target
        if target.memory is None:
            self._desk.say("this row is not memory", failed=True)
            return
        self._desk.ask("looking for the last writer", _writer(target.memory, target.size))

    def find_guest(self) -> None:
        """Find the guest's current function."""
        self._desk.ask("finding the guest's function", _find_guest)

    # The last writer of the row under the cursor, searched for while the inspector is idle

    def wait_for_idleness(self) -> None:
        """Restart the timer. Called after every answer from the session, and when the cursor moves."""
        if self._idle is not None:
            self._idle.stop()
            self._idle = None
        if self._bytes_pane is not None or not self._is_explored:
            self._idle = self._desk.call_in(self.idle_s, self._use_idleness)

    @property
    def _is_explored(self) -> bool:
        return self._desk.seen is None or self._desk.seen.standing.is_explored

    @property
    def _bytes_pane(self) -> BytesPane | None:
        """The pane of bytes, if it has the focus or is shown alone; None while the screen opens or closes."""
        if not self._desk.is_open:
            return None
        focused = self._desk.screen.focused
        if focused is None and self._desk.page != BytesPane.NAME:
            return None
        alone = self._desk.screen.query(BytesPane) if focused is None else [focused]
        return next((pane for pane in alone if isinstance(pane, BytesPane)), None)

    def _use_idleness(self) -> None:
        """Search for the last writer, or else run ahead for the strip. Called by the timer."""
        pane, session = self._bytes_pane, self._desk.session
        if session.waiting:
            return  # the answer of the job restarts the timer
        if self._desk.asks_user:
            self.wait_for_idleness()  # the user is typing
        elif pane is not None and pane.look():
            memory = pane.target.memory
            assert memory is not None
            session.do_meanwhile(_quiet_writer(memory, pane.target.size))
        elif not self._is_explored:
            session.do_meanwhile(_explore)


def _find_guest(moment: Moment) -> str:
    try:
        return find_guest(moment)
    except Cancelled:  # the run has not moved, even within a stay in the guest
        return "cancelled finding the guest's function"


def _writer(base: int, size: int) -> Job:
    def job(moment: Moment) -> str:
        write = moment.run.last_write(base, size)
        moment.writers[base] = LastWriter(base, size, moment.run.now, write)
        if write is None:
            return f"{base:#x}: not written since power-on"
        return f"{base:#x}: {write}"

    return job


def _explore(moment: Moment) -> None:
    moment.run.leave_snapshot()  # so that it can return at once if it has to give way
    moment.run.explore()


def _quiet_writer(base: int, size: int) -> Job:
    def job(moment: Moment) -> None:
        here = moment.run.now
        try:
            moment.run.leave_snapshot()  # so that it can return at once if it must give way
            found = LastWriter(base, size, here, moment.run.last_write(base, size))
        except (EnclaveError, MachineError) as error:
            found = LastWriter(base, size, here, None, str(error))
        moment.writers[base] = found

    return job
