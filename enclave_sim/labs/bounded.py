"""Runs of what students hand in, which may never end: bounded in virtual time and in events, so everywhere the same.

What these bounds cannot see, such as a kernel that only executes slow instructions, a limit of processor time ends. A
judgement has one for each of its pieces, so that the other parts are judged all the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import EnclaveError, HostLimitReached, KernelDied
from enclave_sim.events import AnnihilationBegan
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.text import one_line
from machine.events import Event, RingTransition
from machine.host_limit import HostLimit
from machine.machine import Outcome

_EVENTS = 5_000
"""Limit of events. The longest run that a lab asks for has a tenth of them."""
PIECE_SECONDS = 6
"""Limit of the host's processor time for a piece of a judgement, four times what the longest solution takes."""


class NoResult(EnclaveError):  # noqa: N818 - as KernelDied
    """A run of what was handed in has no result. The message is for the student."""


@contextmanager
def piece(seconds: float = PIECE_SECONDS) -> Iterator[None]:
    """Make the runs of one piece of a judgement.

    Args:
        seconds: Limit of the host's processor time.

    Raises:
        NoResult: A kernel died, or the limit expired, or that of the whole judgement.
    """
    begun = process_time()
    try:
        with HostLimit(seconds, process_time):
            yield
    except KernelDied as error:
        raise NoResult(f"The kernel died: {one_line(str(error))[:200]}.") from None
    except HostLimitReached:
        own = process_time() - begun >= seconds
        raise NoResult(
            f"It takes more than {seconds:g} s of processor time, so it seems to have no end. Stop it after a while by "
            "--host-limit 5s, and see where it is."
            if own
            else "No processor time is left for this part: what runs before it seems to have no end."
        ) from None


class Bounds:
    """A recorder that bounds the run of an enclave, to which it must be given.

        bounds = Bounds()
        result = bounds.run(Enclave(code, recorder=bounds), limit_ns=1_000_000)

    Args:
        guest_ns: The virtual time that the first guest has, from its first entry to annihilation; None for any.
    """

    def __init__(self, guest_ns: int | None = None) -> None:
        self._guest_ns = guest_ns
        self._events = 0
        self._entered_ns: int | None = None
        self._annihilates = False
        self._enclave: Enclave

    def record(self, event: Event) -> None:
        """Take one event as it happens."""
        self._events += 1
        if isinstance(event, RingTransition) and event.to_ring == 3 and self._entered_ns is None:
            self._entered_ns = event.at_ns
        elif isinstance(event, AnnihilationBegan):
            self._annihilates = True
        elif self._events < _EVENTS:
            return
        self._enclave.machine.request_stop()

    def run(self, enclave: Enclave, limit_ns: int) -> RunResult:
        """Run to the end or to a bound, where the outcome is `LIMIT`. Raises the errors of `Enclave.run`."""
        self._enclave = enclave
        while self._events < _EVENTS and enclave.advance(self._limit(limit_ns)) is Outcome.STOPPED:
            pass
        return enclave.run(enclave.machine.clock.now_ns if self._events >= _EVENTS else self._limit(limit_ns))

    def _limit(self, limit_ns: int) -> int:
        if self._guest_ns is None or self._entered_ns is None or self._annihilates:
            return limit_ns
        return min(limit_ns, self._entered_ns + self._guest_ns)
