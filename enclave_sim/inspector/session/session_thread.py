"""The thread that owns the session. Only it touches the machine: Unicorn's objects belong to one thread.

Jobs are done in the order in which they were asked for, so that no key is lost. What the panes show is made when
nothing waits any more, or at least every `_LOOK_S`: a key that is held down is not slowed by screens nobody could see.

One kind of job is done meanwhile: as long as nothing else is asked for. It gives way to whatever is, and is then
forgotten, with the run where it was.
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
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.inspector.session.sources import Opened
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.navigation.breakpoints import Breakpoint, Watchpoint
from machine.errors import MachineError

_LOOK_S = 0.04
_PROGRESS_S = 0.1
_LOOKING = "looking"

Job = Callable[[Moment], str | None]
"""Something to do. What it returns is said to the user."""
Wishes = Mapping[str, Callable[[Moment], View]]
"""What each pane in sight is made by."""
Opener = Callable[[Cancellation], Opened]
"""Makes the run, which the token it gets cancels."""


@dataclass(frozen=True, slots=True)
class _Asked:
    number: int
    what: str
    job: Job | None
    """None ends the thread."""
    meanwhile: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """How things stand, and what the panes show."""

    standing: Standing
    program: Program
    views: Mapping[str, View]
    points: tuple[Breakpoint | Watchpoint, ...] = ()
    said: str | None = None
    failed: bool = False
    meanwhile: bool = False
    """Nothing was asked for, so what was said last stands."""


@dataclass(frozen=True, slots=True)
class Working:
    """A job takes its time."""

    what: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The session can do nothing more."""

    error: BaseException


Tell = Callable[[Seen | Working | Broken], None]


class SessionThread:
    """Made and asked from any thread; `tell` is called from its own."""

    def __init__(self, opener: Opener, tell: Tell) -> None:
        self._opener = opener
        self._tell = tell
        self._jobs: SimpleQueue[_Asked] = SimpleQueue()
        self._cancellation = Cancellation(self._is_unwanted)
        self._cancel = threading.Event()
        """The user wants no more of what is being done, and of what waits."""
        self._stop = False
        self._gives_way = False
        """Whether what is being done is to end as soon as anything is asked for."""
        self._returns = False
        """Whether it was cancelled, and the run goes to where it has to be then: that is not cancelled, too."""
        self._what = ""
        self._asked = self._done = 0
        self.shown = 0
        """How often `Seen` was told."""
        self._told_at = 0.0
        self._moment: Moment | None = None
        self._thread = threading.Thread(target=self._work, name="session", daemon=True)
        self.wishes: Wishes = {}
        """What to make for the panes; set as a whole."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def do(self, what: str, job: Job) -> None:
        """Do something when all that was asked for before is done."""
        self._asked += 1
        self._jobs.put(_Asked(self._asked, what, job))

    def do_meanwhile(self, job: Job) -> None:
        """Do something until anything else is asked for; that may be soon, and the job must be asked for again then.

        It has to come back to where the run is.
        """
        self._jobs.put(_Asked(self._asked, "", job, meanwhile=True))

    def look(self) -> None:
        """Make what the panes show once more."""
        self.do(_LOOKING, lambda _moment: None)

    def cancel(self) -> None:
        """Cancel what is being done, and what waits."""
        if self._what:
            self._cancel.set()

    @property
    def waiting(self) -> int:
        """How many jobs are not done, or cancelled, and shown."""
        return self._asked - self._done

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return bool(self._what) and self._what != _LOOKING

    def close(self, timeout_s: float = 5.0) -> None:
        """End, and wait for that."""
        self._stop = True
        self._cancel.set()
        self._jobs.put(_Asked(self._asked, "", None))
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    # In its own thread

    def _is_unwanted(self) -> bool:
        """Say, at a checkpoint, whether what is being done is to end; report how far it is."""
        if self._stop:
            return True
        if self._gives_way:
            return not self._jobs.empty()
        if not self._what:
            return False  # panes are being made, or a job that gave way goes back to where the run was
        if self._cancel.is_set() and not self._returns:
            return True
        self._report_progress()
        return False

    def _report_progress(self) -> None:
        now = monotonic()
        if now - self._told_at >= _PROGRESS_S and self._moment is not None:
            self._told_at = now
            self._moment.log.follow()  # as they come, so that there are not a million at once at the end
            self._tell(Working(self._what, self._moment.run.now.at_ns))

    def _work(self) -> None:
        try:
            opened = self._opener(self._cancellation)
            moment = self._moment = Moment(opened, EventLog(opened.run.known, self._cancellation))
            self._show(moment, None)
            self._serve(moment)
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001 - told to the user's thread, which raises it
            if not self._stop:
                self._tell(Broken(error))

    def _serve(self, moment: Moment) -> None:
        looked_at, said, failed = monotonic(), None, False
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
            self._told_at, before = monotonic(), moment.run.now
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
            if self._cancel.is_set():  # it came when the job was done already
                self._cancel.clear()
                number = self._drop(number)
            self._what = ""
            if self._jobs.empty() or monotonic() - looked_at > _LOOK_S:
                self._show(moment, said, failed=failed)
                looked_at, said, failed = monotonic(), None, False
            self._done = number

    def _do(self, moment: Moment, job: Job) -> str | None:
        before, values = moment.run.now, register_values(moment.run)
        try:
            return job(moment)
        finally:
            if moment.run.now != before:
                moment.registers_before = values

    def _meanwhile(self, moment: Moment, job: Job) -> bool:
        """Whether it was done, and did not have to give way."""
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
        """On the way forwards one stays where one has come to; on the way back one returns, whatever is pressed."""
        self._returns = True
        try:
            if moment.run.now < before:
                moment.run.go_to(before)
            moment.run.settle()
        finally:
            self._returns = False
        return f"cancelled {self._what}, at {moment.run.now.at_ns:,} ns"

    def _drop(self, number: int) -> int:
        """Drop what waits; the number of the last job of these."""
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
        self._tell(Seen(standing(moment), moment.program, views, points, said, failed, meanwhile))


def moved(go: Callable[[InspectedRun], object]) -> Job:
    """A job that goes somewhere, and says why it stopped there if that is not plain."""

    def job(moment: Moment) -> str | None:
        before = moment.run.now
        result = go(moment.run)
        why = getattr(result, "why", None)
        if why is not None:
            return f"stopped at {_point(why)}"
        if not isinstance(result, Position) and moment.run.now == before:
            return "nothing further to stop at"
        return None

    return job


def _point(point: object) -> str:
    address = getattr(point, "address", None)
    if address is not None:
        return f"the breakpoint at {address:#x}"
    where: range = getattr(point, "where")  # noqa: B009 - either is given
    return f"the watchpoint on {where.start:#x}-{where.stop - 1:#x}"
