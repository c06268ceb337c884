"""Actions that ask about what is here: who wrote it last, and where the guest is."""

from textual.timer import Timer

from enclave_sim.cancellation import Cancelled
from enclave_sim.errors import EnclaveError
from enclave_sim.inspector.desk import Desk
from enclave_sim.inspector.model.guest import find_guest
from enclave_sim.inspector.model.moment import Moment, Writer
from enclave_sim.inspector.panes.machine.bytes import BytesPane
from enclave_sim.inspector.session.session_thread import Job
from machine.errors import MachineError


class Queries:
    """The keys that ask, and what is asked when nothing else is."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.idle_s = 0.3
        """So long nothing is asked for until the last writer of the row under the cursor is looked for by itself."""
        self._idle: Timer | None = None

    def find_writer(self) -> None:
        """Ask who wrote the row's memory last."""
        target = self._desk.pane.target
        if target.memory is None:
            self._desk.say("this row is no memory", failed=True)
            return
        self._desk.ask("looking for the last writer", _writer(target.memory, target.size))

    def find_guest(self) -> None:
        """Ask which function the guest is in."""
        self._desk.ask("finding the guest's function", _find_guest)

    # Who wrote what is under the cursor, without being asked

    def wait_for_idleness(self) -> None:
        """Something was done, or another row is under the cursor: begin to wait anew."""
        if self._idle is not None:
            self._idle.stop()
            self._idle = None
        if self._bytes_pane is not None:
            self._idle = self._desk.call_in(self.idle_s, self._look_for_writer)

    @property
    def _bytes_pane(self) -> BytesPane | None:
        """If it is what one looks at, and the screen is not being taken down."""
        if not self._desk.is_open:
            return None
        focused = self._desk.screen.focused
        if focused is None and self._desk.page != BytesPane.NAME:
            return None
        alone = self._desk.screen.query(BytesPane) if focused is None else [focused]
        return next((pane for pane in alone if isinstance(pane, BytesPane)), None)

    def _look_for_writer(self) -> None:
        """Nothing was asked for since a while."""
        pane, session = self._bytes_pane, self._desk.session
        if pane is None or session.waiting:
            return  # what is being done will be told
        if self._desk.asks_user:
            self.wait_for_idleness()  # something is being typed
        elif pane.look():
            memory = pane.target.memory
            assert memory is not None
            session.do_meanwhile(_quiet_writer(memory, pane.target.size))


def _find_guest(moment: Moment) -> str:
    try:
        return find_guest(moment)
    except Cancelled:  # nothing has moved, in the midst of a stay, too
        return "cancelled finding the guest's function"


def _writer(base: int, size: int) -> Job:
    def job(moment: Moment) -> str:
        write = moment.run.last_write(base, size)
        moment.writers[base] = Writer(base, size, moment.run.now, write)
        if write is None:
            return f"{base:#x}: nobody has written there so far"
        return f"{base:#x}: {write}"

    return job


def _quiet_writer(base: int, size: int) -> Job:
    def job(moment: Moment) -> None:
        here = moment.run.now
        try:
            moment.run.leave_snapshot()  # whoever has to give way is back at once
            found = Writer(base, size, here, moment.run.last_write(base, size))
        except (EnclaveError, MachineError) as error:
            found = Writer(base, size, here, None, str(error))
        moment.writers[base] = found

    return job
