"""Questions about what is here: who wrote it last, and where the guest is."""

from textual.timer import Timer

from enclave_sim.cancellation import Cancelled
from enclave_sim.errors import EnclaveError
from enclave_sim.inspector.base_app import Desk
from enclave_sim.inspector.model.guest import find_guest
from enclave_sim.inspector.model.moment import Moment, Writer
from enclave_sim.inspector.panes.machine.bytes import BytesPane
from enclave_sim.inspector.session.session_thread import Job
from machine.errors import MachineError


class Asking(Desk):
    """The keys that ask, and what is asked when nothing else is."""

    idle_s = 0.3
    """So long nothing is asked for until the last writer of the row under the cursor is looked for by itself."""
    _idle: Timer | None = None

    def action_writer(self) -> None:
        """Ask who wrote the row's memory last."""
        target = self.pane.target
        if target.memory is None:
            self.say("this row is no memory", failed=True)
            return
        self.ask("looking for the last writer", _writer(target.memory, target.size))

    def action_find_guest(self) -> None:
        """Ask which function the guest is in."""
        self.ask("finding the guest's function", _find_guest)

    # Who wrote what is under the cursor, without being asked

    def on_desk_told(self, message: Desk.Told) -> None:  # noqa: ARG002 - besides that of `Desk`
        """Something was done."""
        self._wait_for_idleness()

    def on_bytes_pane_moved(self) -> None:
        """Another row is under the cursor."""
        self._wait_for_idleness()

    @property
    def _bytes_pane(self) -> BytesPane | None:
        """If it is what one looks at, and the screen is not being taken down."""
        screen = self.screen_stack[0] if self.screen_stack else None
        if screen is None or (screen.focused is None and self.page != BytesPane.NAME):
            return None
        alone = screen.query(BytesPane) if screen.focused is None else [screen.focused]
        return next((pane for pane in alone if isinstance(pane, BytesPane)), None)

    def _wait_for_idleness(self) -> None:
        if self._idle is not None:
            self._idle.stop()
            self._idle = None
        if self._bytes_pane is not None:
            self._idle = self.set_timer(self.idle_s, self._look_for_writer)

    def _look_for_writer(self) -> None:
        """Nothing was asked for since a while."""
        pane = self._bytes_pane
        if pane is None or self.session.waiting:
            return  # what is being done will be told
        if len(self.screen_stack) > 1:
            self._wait_for_idleness()  # something is being typed
        elif pane.look():
            memory = pane.target.memory
            assert memory is not None
            self.session.do_meanwhile(_quiet_writer(memory, pane.target.size))


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
