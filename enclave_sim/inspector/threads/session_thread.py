"""The thread that owns the session. Only it touches the machine: Unicorn's objects belong to one thread.

Jobs are done in the order requested, so that no key is lost. The views of the panes are made when no job is waiting, or
at least every `_LOOK_S`: a key held down is not slowed by screens that nobody could see.

A background job runs while nothing else is requested. When anything is, it gives way: it is dropped, and the run
returns to its position.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic

from enclave_sim.cancellation import Cancellation, Cancelled
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.errors import EnclaveError
from enclave_sim.inspector.model.event_log import EventLog
from enclave_sim.inspector.model.machine.registers import register_values
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.model.status import Standing, standing
from enclave_sim.inspector.session.sources import Opened
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.navigation.breakpoints import Breakpoint, Watchpoint
from machine.errors import MachineError

_LOOK_S = 0.04
_PROGRESS_S = 0.1

Job = Callable[[Moment], str | None]
"""A job. It returns a message for the user, or None."""
Wishes = Mapping[str, Callable[[Moment], View]]
"""For each pane in sight, the function that makes its view."""
Opener = Callable[[Cancellation], Opened]
"""Makes the run, which must poll the given token."""


@dataclass(frozen=True, slots=True)
class _Asked:
    number: int
    what: str
    job: Job | None
    """None ends the thread."""
    meanwhile: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """The state of the run, and the views of the panes."""

    standing: Standing
    program: Program
    views: Mapping[str, View]
    points: tuple[Breakpoint | Watchpoint, ...] = ()
    said: str | None = None
    failed: bool = False
    meanwhile: bool = False
    """No user request was executed, so the last message stays on the screen."""


@dataclass(frozen=True, slots=True)
class Working:
    """A job is still running."""

    what: str
    at_ns: int | None
    """The virtual time reached; None while the job has not moved the run."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The session ended with an error."""

    error: BaseException


Notify = Callable[[Seen | Working | Broken], None]


class SessionThread:
    """The thread. Its public methods may be called from any thread.

    Args:
        opener: Makes the run, in this thread.
        notify: Called from this thread with each update.
    """

    def __init__(self, opener: Opener, notify: Notify) -> None:
        self._opener = opener
        self._notify = notify
        self._jobs: SimpleQueue[_Asked] = SimpleQueue()
        self._cancellation = Cancellation(self._is_unwanted)
        self._cancel = threading.Event()
        """The user has cancelled the current job and the waiting ones."""
        self._stop = False
        self._gives_way = False
        """True if the current job must end as soon as anything is requested."""
        self._returns = False
        """True while the run returns after a cancellation, which cannot itself be cancelled."""
        self._what = ""
        self._asked = self._done = 0
        self.shown = 0
        """The number of `Seen` sent."""
        self._reported_at = 0.0
        self._began_at: Position | None = None
        """The position at the beginning of the current job."""
        self._moment: Moment | None = None
        self._thread = threading.Thread(target=self._work, name="session", daemon=True)
        self.wishes: Wishes = {}
        """The views to make for the panes. Replace the whole mapping, because this thread reads it."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def do(self, what: str, job: Job) -> None:
        """Do a job, after those requested earlier.

        Args:
            what: The name of the job in messages. If it is empty, the job is short, and does not change the message.
            job: The job.
        """
        self._asked += 1
        self._jobs.put(_Asked(self._asked, what, job))

    def do_meanwhile(self, job: Job) -> None:
        """Do a job until anything else is requested. It is dropped then, so request it again.

        Args:
            job: The job. It must not move the run.
        """
        self._jobs.put(_Asked(self._asked, "", job, meanwhile=True))

    def look(self) -> None:
        """Remake the views of the panes."""
        self.do("", lambda _moment: None)

    def cancel(self) -> None:
        """Cancel the current job and the waiting ones."""
        if self._what:
            self._cancel.set()

    @property
    def waiting(self) -> int:
        """The number of jobs that are not yet done (or cancelled) and shown."""
        return self._asked - self._done

    @property
    def busy(self) -> bool:
        """True while a job is running."""
        return bool(self._what)

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop the thread, and wait at most `timeout_s` seconds for its end."""
        self._stop = True
        self._cancel.set()
        self._jobs.put(_Asked(self._asked, "", None))
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    # In its own thread

    def _is_unwanted(self) -> bool:
        """Return whether the current job must end, and report its progress. Called at every poll of the token."""
        if self._stop:
            return True
        if self._gives_way:
            return not self._jobs.empty()
        if not self._what:
            return False  # views are being made, or the run returns from a job that gave way
        if self._cancel.is_set() and not self._returns:
            return True
        self._report_progress()
        return False

    def _report_progress(self) -> None:
        now = monotonic()
        if now - self._reported_at >= _PROGRESS_S and self._moment is not None:
            self._reported_at = now
            self._moment.log.follow()  # index events as they come, not a million at the end
            now_at = self._moment.run.now
            self._notify(Working(self._what, None if now_at == self._began_at else now_at.at_ns))

    def _work(self) -> None:
        try:
            opened = self._opener(self._cancellation)
            moment = self._moment = Moment(opened, EventLog(opened.run.known, self._cancellation))
            self._show(moment, None)
            self._serve(moment)
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001 - sent to the app's thread, which raises it
            if not self._stop:
                self._notify(Broken(error))

    def _serve(self, moment: Moment) -> None:
        looked_at, said, failed = monotonic(), None, False
        acts = False  # a job with a name was done since the last `Seen`
        while True:
            asked = self._jobs.get()
            number, job = asked.number, asked.job
            if job is None or self._stop:
                return
            if asked.meanwhile:
                if self._jobs.empty() and self._meanwhile(moment, job):
                    self._show(moment, None, meanwhile=True)
                continue
            self._what = asked.what
            acts = acts or bool(asked.what)
            self._reported_at, before = monotonic(), moment.run.now
            self._began_at = before
            try:
                words = self._do(moment, job)
                said, failed = (words, False) if words is not None else (said, failed)
            except (EnclaveError, MachineError) as error:
                said, failed = str(error), True
            except Cancelled:
                if self._stop:
                    return
                said, failed = self._settle_cancelled(moment, before), False
                self._cancel.clear()
                number = self._drop(number)
            if self._cancel.is_set():  # the cancellation arrived after the job was done
                self._cancel.clear()
                number = self._drop(number)
            self._what = ""
            if self._jobs.empty() or monotonic() - looked_at > _LOOK_S:
                self._show(moment, said, failed=failed, meanwhile=not acts)
                looked_at, said, failed, acts = monotonic(), None, False, False
            self._done = number

    def _do(self, moment: Moment, job: Job) -> str | None:
        before, values = moment.run.now, register_values(moment.run)
        try:
            return job(moment)
        finally:
            if moment.run.now != before:
                moment.registers_before = values

    def _meanwhile(self, moment: Moment, job: Job) -> bool:
        """Do a job. Return False if it had to give way."""
        run, here = moment.run, moment.run.now
        self._gives_way, done = True, False
        try:
            job(moment)
            done = True
        except Cancelled:
            pass
        finally:
            self._gives_way = False
        if not done and not self._stop:
            run.go_to(here)
        return done

    def _settle_cancelled(self, moment: Moment, before: Position) -> str:
        """After a cancelled forward motion, stay there; after a backward one, return, which cannot be cancelled."""
        self._returns = True
        try:
            if moment.run.now < before:
                moment.run.go_to(before)
            moment.run.settle()
        finally:
            self._returns = False
        return f"cancelled {self._what}, at {moment.run.now.at_ns:,} ns"

    def _drop(self, number: int) -> int:
        """Drop the waiting jobs. Return the number of the last one, or `number`."""
        while not self._jobs.empty():
            asked = self._jobs.get()
            if asked.job is None:
                self._jobs.put(asked)
                break
            number = asked.number
        return number

    def _show(self, moment: Moment, said: str | None, *, failed: bool = False, meanwhile: bool = False) -> None:
        moment.follow()
        run, wishes = moment.run, self.wishes
        views = {name: make(moment) for name, make in wishes.items()}
        self.shown += 1
        points: tuple[Breakpoint | Watchpoint, ...] = (*run.breakpoints, *run.watchpoints)
        self._notify(Seen(standing(moment), moment.program, views, points, said, failed, meanwhile))
