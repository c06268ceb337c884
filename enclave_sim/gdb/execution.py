"""Motions through a run, as gdb asks for them, and why each has ended.

gdb thinks of a processor that executes backwards. What a session does is nearly that; the difference is where it stops
at a watchpoint: a session behind the access, a processor that goes backwards in front of it.
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
"""Signal numbers, as gdb has them."""
_CHECK_S = 0.01
"""So often one looks for Ctrl-C."""
_BEGIN, _END = "replaylog:begin", "replaylog:end"


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why a motion has ended."""

    signal: int = TRAP
    reason: str = ""
    """As a stop reply has it, such as `swbreak:`; empty when a step is done."""
    message: str = ""
    """For the user, if there is more to say."""


class Motion:
    """Goes through a session. `interrupted` says whether gdb wants it to end; it may raise Gone."""

    def __init__(self, session: Travel[Any], points: Points, interrupted: Callable[[], bool]) -> None:
        self._session = session
        self._points = points
        self._interrupted = interrupted
        self._look_at = 0.0

    def step(self) -> StopReason:
        """One step forward."""
        return self._forward(self._step)

    def step_within(self, start: int, end: int) -> StopReason:
        """Step on while the instruction is one from `start` up to `end`, and nothing is hit: a source line, for gdb."""

        def steps() -> StopReason:
            while True:
                stopped = self._step()
                if stopped.reason or not start <= self._session.machine.cpu.linear_rip < end:
                    return stopped

        return self._forward(steps)

    def resume(self) -> StopReason:
        """Forward to a breakpoint or watchpoint, or to the end."""

        def run() -> StopReason:
            hit = self._session.resume().why
            return StopReason(reason=_END if hit is None else self._points.reason(hit))

        return self._forward(run)

    def back(self) -> StopReason:
        """One step backward."""
        return self._backward(self._back)

    def reverse_resume(self) -> StopReason:
        """Backward to a breakpoint or watchpoint, or to the beginning."""

        def run() -> StopReason:
            if self._session.watchpoints:  # the access that has led here lies in front of us
                stopped = self._back()
                if stopped.reason:
                    return stopped
            hit = self._session.reverse_resume().why
            if isinstance(hit, Watchpoint):
                self._session.back()
            return StopReason(reason=_BEGIN if hit is None else self._points.reason(hit))

        return self._backward(run)

    # With a way out

    def _forward(self, go: Callable[[], StopReason]) -> StopReason:
        start = self._session.now
        try:
            with self.cancellable():
                return go()
        except Cancelled:
            return StopReason(INTERRUPTED)
        except (EnclaveError, MachineError) as error:  # the kernel died, say: to go on from there would be in vain
            return self._failed(start, error)

    def _backward(self, go: Callable[[], StopReason]) -> StopReason:
        """One is anywhere on the way: until what is looked for has been found, one stays where one was."""
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
        """A scope in which whatever the session does ends when gdb wants that (Cancelled) or is gone (Gone)."""
        self._look_at = 0.0
        with self._session.cancellation.asking(self._is_unwanted):
            yield

    def _is_unwanted(self) -> bool:
        """Look for Ctrl-C, unless that was done a moment ago: checkpoints come often, and it is a system call."""
        now = perf_counter()
        if now < self._look_at:
            return False
        self._look_at = now + _CHECK_S
        return self._interrupted()

    # Steps, with what they meet

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
        """gdb compares what its watchpoints hold, so that a write which changes nothing is none for it either."""
        return Watching(self._session.machine, self._session.watchpoints, unchanged=False)
