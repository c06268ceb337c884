"""Ctrl-C stops the machine between two instructions, is raised from `run`, and loses nothing."""

import signal
import threading
from pathlib import Path

import pytest

from enclave_sim import Enclave
from enclave_sim.events import HostCalled, ResidueScanned, SignalEmitted
from enclave_sim.recording.reader import RecordingFile
from enclave_sim.recording.writer import RecordingWriter
from enclave_sim.time_travel.replay import replay
from machine.events import Event
from machine.execution.deferred_signals import SignalsHeld

pytestmark = pytest.mark.usefixtures("interruptible")


class Interrupter:
    """Presses Ctrl-C at every n-th event, and so often inside a callback from native code."""

    def __init__(self, every: int) -> None:
        self.every = every

    def record(self, event: Event) -> None:
        if event.seq == 0 or isinstance(event, ResidueScanned):
            return  # the machine does not run
        if event.seq % self.every == 0 or isinstance(event, HostCalled | SignalEmitted):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("every", [1, 2, 7])
def test_a_run_that_is_interrupted_and_goes_on_is_the_same_run(every: int) -> None:
    expected = Enclave("counter", cycles=2).run().digest
    enclave = Enclave("counter", cycles=2, recorder=Interrupter(every))
    interrupted = 0
    while True:
        try:
            result = enclave.run()
        except KeyboardInterrupt:
            interrupted += 1
        else:
            break
    assert interrupted > 10
    assert result.digest == expected


@pytest.mark.parametrize("at", [1, 30, 60, 90, 200])
def test_what_was_recorded_until_then_is_replayed(at: int, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with pytest.raises(KeyboardInterrupt), RecordingWriter.open(path) as writer:
        Enclave("counter", cycles=9, recorder=Interrupter(at), record=False, writer=writer).run()
    again = replay(path)
    assert again.equal
    assert again.interrupted
    complete = Enclave("counter", cycles=9)
    complete.run()
    assert complete.recording is not None
    assert list(RecordingFile(path)) == complete.recording.events[: again.events]


def test_handlers_run_once_and_after_the_scope_and_are_put_back() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        ours = signal.getsignal(signal.SIGINT)
        with SignalsHeld(), SignalsHeld():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            assert came == []
        assert came == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is ours
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_nothing_is_held() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def run() -> None:
        with SignalsHeld():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
