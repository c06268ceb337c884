"""The motions requested by gdb, and their ends. gdb assumes a processor that executes backwards.

A session is nearly that, except at watchpoints: a session stops after the access, a processor that executes backwards
stops before it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from enclave_sim.cancellation import Cancelled
from enclave_sim.errors import EnclaveError
from enclave_sim.gdb.points import Points
from enclave_sim.gdb.protocol.channel import Gone
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.navigation.breakpoints import Breakpoint, Watching, Watchpoint
from enclave_sim.time_travel.position import NoSuchPosition
from enclave_sim.time_travel.travel import Travel
from machine.errors import MachineError

TRAP, INTERRUPTED = 5, 2
"""Signal numbers of the protocol."""
_CHECK_S = 0.01
"""The time between two checks for Ctrl-C, in host seconds."""
_BEGIN, _END = "replaylog:begin", "replaylog:end"


@dataclass(frozen=True, slots=True)
class StopReason:
    """The reason for the end of a motion."""

    signal: int = TRAP
    reason: str = ""
    """The part of the stop reply, such as `swbreak:`; empty after a step."""
    message: str = ""
    """An additional message for the user, if any."""


class Motion:
    """Moves a session.

    Args:
        session: The session.
        points: The breakpoints and watchpoints of gdb.
        interrupted: Returns True if gdb has requested a stop. It may raise Gone.
    """

    def __init__(self, session: Travel[Any], points: Points, interrupted: Callable[[], bool]) -> None:
        self._session = session
        self._points = points
        self._interrupted = interrupted
        self._next_check = 0.0

    def step(self) -> StopReason:
        """Execute one step."""
        return self._forward(self._step)

    def step_within(self, start: int, end: int) -> StopReason:
        """Step while RIP is from `start` to before `end` and nothing is hit. gdb uses it to step a source line."""

        def steps() -> StopReason:
            while True:
                stopped = self._step()
                if stopped.reason or not start <= self._session.machine.cpu.linear_rip < end:
                    return stopped

        return self._forward(steps)

    def resume(self) -> StopReason:
        """Run to a breakpoint or watchpoint, or to the end."""

        def run() -> StopReason:
            hit = self._session.resume().why
            return StopReason(reason=_END if hit is None else self._points.reason(hit))

        return self._forward(run)

    def back(self) -> StopReason:
        """Go back by one step."""
        return self._backward(self._back)

    def reverse_resume(self) -> StopReason:
        """Go back to a breakpoint or watchpoint, or to the beginning."""

        def run() -> StopReason:
            if self._session.watchpoints:  # an access by the instruction just before this position counts, too
                stopped = self._back()
                if stopped.reason:
                    return stopped
            hit = self._session.reverse_resume().why
            if isinstance(hit, Watchpoint):
                self._session.back()
            return StopReason(reason=_BEGIN if hit is None else self._points.reason(hit))

        return self._backward(run)

    # Cancellation and errors

    def _forward(self, go: Callable[[], StopReason]) -> StopReason:
        start = self._session.now
        try:
            with self.cancellable():
                return go()
        except Cancelled:
            return StopReason(INTERRUPTED)
        except (EnclaveError, MachineError) as error:  # such as a dead kernel: nothing can run from there
            return self._failed(start, error)

    def _backward(self, go: Callable[[], StopReason]) -> StopReason:
        """Go back. The search moves the run anywhere, so if it is cancelled or fails the run returns to the start."""
        start = self._session.now
        try:
            with self.cancellable():
                return go()
        except (Cancelled, Gone) as error:
            self._session.go_to(start)
            if isinstance(error, Gone):
                raise
            return StopReason(INTERRUPTED)
        except (EnclaveError, MachineError) as error:
            return self._failed(start, error)

    def _failed(self, start: Position, error: Exception) -> StopReason:
        self._session.go_to(start)
        return StopReason(message=f"{error}; back at {start}")

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """A scope in which any motion ends when gdb requests it (Cancelled) or is gone (Gone)."""
        self._next_check = 0.0
        with self._session.cancellation.asking(self._is_unwanted):
            yield

    def _is_unwanted(self) -> bool:
        """Check for Ctrl-C, unless it was just checked: it is a system call, and polls are frequent."""
        now = perf_counter()
        if now < self._next_check:
            return False
        self._next_check = now + _CHECK_S
        return self._interrupted()

    # Single steps, with the points hit

    def _step(self) -> StopReason:
        watching = self._watching()
        try:
            with watching.installed():
                self._session.step()
        except NoSuchPosition:
            return StopReason(reason=_END)
        watching.changed()
        return self._met(watching)

    def _back(self) -> StopReason:
        here, watching = self._session.now, self._watching()
        try:
            self._session.back()
        except NoSuchPosition:
            return StopReason(reason=_BEGIN)
        watching.changed()
        if any(point.reads for point in self._session.watchpoints):
            goal = self._session.now
            with watching.installed():
                while self._session.now < here:
                    self._session.step()
            self._session.go_to(goal)
        return self._met(watching)

    def _met(self, watching: Watching) -> StopReason:
        session = self._session
        rip = session.machine.cpu.linear_rip
        hit: list[Breakpoint | Watchpoint] = [
            *watching.hits,
            *(one for one in session.breakpoints if one.address == rip),
        ]
        return StopReason(reason=self._points.reason(hit[0]) if hit else "")

    def _watching(self) -> Watching:
        """Watch like gdb, which compares contents, so a write that changes nothing does not count."""
        return Watching(self._session.machine, self._session.watchpoints, unchanged=False)
