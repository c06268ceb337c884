"""A child process that runs cases and may die or hang.

The parent sees its current case and its findings. The case is in memory shared with the parent before it is run, which
outlives the child.
"""

import faulthandler
import mmap
import os
import pickle
import select
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

_AT_WORK = struct.Struct("<QI")
_LENGTH = struct.Struct("<I")
_ROOM = 1 << 20
_CHUNK = 1 << 16

Send = Callable[[Any], None]
Work = Callable[["Desk", Send], None]


class Desk:
    """The number of cases begun and the text of the current one, shared by parent and child."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _ROOM)
        self.begun = 0

    def begin(self, text: str) -> None:
        """Note a case before it is run."""
        self.begun += 1
        data = text.encode()
        self._memory[_AT_WORK.size : _AT_WORK.size + len(data)] = data
        _AT_WORK.pack_into(self._memory, 0, self.begun, len(data))

    def at_work(self) -> tuple[int, str]:
        """Its number and its text; the number is 0 before the first."""
        number, size = _AT_WORK.unpack_from(self._memory)
        return number, self._memory[_AT_WORK.size : _AT_WORK.size + size].decode()


@dataclass(frozen=True)
class Death:
    """A child that ended abnormally."""

    cause: str
    """`signal 11`, `exit 1`, or `no progress`."""
    number: int
    """The number of cases begun."""
    text: str
    """Its current case."""


def run(work: Work, patience_s: float) -> Iterator[Any]:
    """Run `work` in a child. Yields its messages and finally a Death unless it completed.

    A child that begins no new case for `patience_s` seconds of the host is ended: that is a Death, too.
    """
    desk = Desk()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os._exit(_in_child(work, desk, writing))
    os.close(writing)
    stuck: bool | None = None
    try:
        stuck = yield from _messages(reading, desk, patience_s)
    finally:
        os.close(reading)
        if stuck is not False:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if stuck or code:
        cause = "no progress" if stuck else f"signal {-code}" if code < 0 else f"exit {code}"
        yield Death(cause, *desk.at_work())


def _in_child(work: Work, desk: Desk, writing: int) -> int:
    faulthandler.disable()  # a death is reported by the parent
    stream = os.fdopen(writing, "wb")

    def send(message: Any) -> None:
        data = pickle.dumps(message)
        stream.write(_LENGTH.pack(len(data)) + data)
        stream.flush()

    try:
        work(desk, send)
    except BrokenPipeError:
        return 0
    except BaseException:  # noqa: BLE001 - the exit code says it, and nothing of the parent's may run here
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    return 0


def _messages(reading: int, desk: Desk, patience_s: float) -> Generator[Any, None, bool]:
    """Yield the child's messages. Returns whether it was stuck."""
    buffer, last = b"", -1
    while True:
        if not select.select([reading], [], [], patience_s)[0]:
            number, _ = desk.at_work()
            if number == last:
                return True
            last = number
            continue
        data = os.read(reading, _CHUNK)
        if not data:
            return False
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer)
            if len(buffer) < _LENGTH.size + size:
                break
            yield pickle.loads(buffer[_LENGTH.size : _LENGTH.size + size])
            buffer = buffer[_LENGTH.size + size :]
