"""Our machine in a child process: killing or hanging the emulator is a result like any other."""

import os
import pickle
import select
import signal
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import BinaryIO

from tests.machine.programs.bench import Bench
from tests.oracle.enumeration.forms import Form
from tests.oracle.enumeration.programs import Case, case
from tests.oracle.enumeration.witnesses import State, of_ours

_LENGTH = struct.Struct("<I")
_SECONDS = 300
"""Host time after which a program counts as hung: far more than one takes on any host."""


class Isolated:
    """A child process that runs cases. It is forked on demand, and again after it has died."""

    def __init__(self) -> None:
        self._process = 0
        self._questions: BinaryIO
        self._answers = -1

    def __enter__(self) -> "Isolated":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if self._process:
            self._end()

    def run(self, cases: Sequence[Case]) -> Iterator[State]:
        """The state in which our machine ends each program, in order. If the emulator raises, dies or hangs, the state
        is empty and its `end` says so.
        """
        remaining = list(cases)
        while remaining:
            if not self._process:
                self._start()
            self._ask([(one.form, one.variant) for one in remaining])
            while remaining:
                state = self._answer()
                del remaining[0]
                yield state or self._death()
                if state is None:
                    break

    def _start(self) -> None:
        their_questions, questions = os.pipe()
        answers, their_answers = os.pipe()
        self._process = os.fork()
        if not self._process:
            os.close(questions)
            os.close(answers)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
            try:
                _serve(os.fdopen(their_questions, "rb"), os.fdopen(their_answers, "wb"))
            finally:
                os._exit(1)
        os.close(their_questions)
        os.close(their_answers)
        self._questions, self._answers = os.fdopen(questions, "wb"), answers

    def _ask(self, wanted: list[tuple[Form, int]]) -> None:
        pickle.dump(wanted, self._questions)
        self._questions.flush()

    def _end(self) -> int:
        """Stop the child process. Returns the signal that had killed it, or 0."""
        done, status = os.waitpid(self._process, os.WNOHANG)
        if not done:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        self._process = 0
        self._questions.close()
        os.close(self._answers)
        return os.WTERMSIG(status) if done and os.WIFSIGNALED(status) else 0

    def _death(self) -> State:
        readable = select.select([self._answers], [], [], 0)[0]
        if not readable:
            self._end()
            return State("the emulator hangs", {}, {})
        os.waitid(os.P_PID, self._process, os.WEXITED | os.WNOWAIT)  # its pipe is closed: it ends at once
        return State(f"the emulator dies of signal {self._end()}", {}, {})

    def _answer(self) -> State | None:
        """The next state, or None if the child is dead or hangs."""
        head = self._receive(_LENGTH.size)
        data = None if head is None else self._receive(*_LENGTH.unpack(head))
        if data is None:
            return None
        state = pickle.loads(data)
        return state if isinstance(state, State) else None

    def _receive(self, length: int) -> bytes | None:
        """So many bytes from the child; unbuffered, because `select` does not see buffered data."""
        data = b""
        while len(data) < length:
            if not select.select([self._answers], [], [], _SECONDS)[0]:
                return None
            more = os.read(self._answers, length - len(data))
            if not more:
                return None
            data += more
        return data


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """The child's loop, until its parent closes the pipe."""
    bench = Bench()
    while True:
        try:
            wanted = pickle.load(questions)
        except EOFError:
            return
        for form, variant in wanted:
            program = case(form, variant).program
            try:
                state = of_ours(bench.run(program), program)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
                state = State(f"the emulator raises {error!r:.80}", {}, {})
                bench = Bench()
            data = pickle.dumps(state)
            answers.write(_LENGTH.pack(len(data)) + data)
            answers.flush()
