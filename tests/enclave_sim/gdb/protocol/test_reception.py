"""A gdb that connects before the run is made gets answers, and waits."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

import pytest

from enclave_sim.gdb.protocol.channel import FileChannel, Gone
from enclave_sim.gdb.protocol.packets import encoded
from enclave_sim.gdb.protocol.reception import Reception

_PATIENCE_S = 300


class Wire:
    """A channel whose time is controlled by the test: None is a period without data."""

    def __init__(self, *waiting: bytes) -> None:
        self._received = b"".join(waiting)
        self._coming: SimpleQueue[bytes | None] = SimpleQueue()
        self._sent: SimpleQueue[bytes] = SimpleQueue()
        self.gone = False

    # The server's side

    def is_readable(self, _timeout_s: float) -> bool:
        came = self._coming.get(timeout=_PATIENCE_S)
        self._received += came or b""
        return came is not None

    def receive(self, _timeout_s: float | None) -> bytes:
        received, self._received = self._received, b""
        if not received and self.gone:
            raise Gone
        return received

    def send(self, data: bytes) -> None:
        self._sent.put(data)

    # The client's side

    def come(self, data: bytes) -> None:
        self._coming.put(data)

    def pass_time(self) -> None:
        self._coming.put(None)

    def next_sent(self) -> bytes:
        return self._sent.get(timeout=_PATIENCE_S)

    def nothing_sent(self) -> bool:
        try:
            self._sent.get_nowait()
        except Empty:
            return True
        return False


@contextmanager
def receiving(wire: Wire) -> Iterator[Reception]:
    reception = Reception(wire)
    reception.begin()
    try:
        yield reception
    finally:
        reception.end()
        wire.pass_time()
        if reception._thread.ident is not None:
            reception._thread.join(_PATIENCE_S)
        assert not reception._thread.is_alive()


def test_what_has_come_is_answered_before_anything_else_is_done() -> None:
    wire = Wire(b"+" + encoded(b"qSupported"))
    reception = Reception(wire)
    wire.gone = True
    threads = threading.active_count()
    reception.begin()
    assert (wire.next_sent(), wire.next_sent()[:11]) == (b"+", b"$PacketSize")
    assert threading.active_count() <= threads + 1
    reception.end()
    wire.pass_time()


def test_what_comes_later_is_answered_too() -> None:
    wire = Wire()
    with receiving(wire):
        wire.come(encoded(b"QStartNoAckMode"))
        assert (wire.next_sent(), wire.next_sent()) == (b"+", encoded(b"OK"))


def test_a_client_that_waits_has_a_sign_of_life_each_time_and_no_other_has() -> None:
    wire = Wire()
    with receiving(wire):
        wire.pass_time()
        wire.come(encoded(b"g"))
        assert wire.next_sent() == b"+"  # the acknowledgement, not sent earlier
        for _ in range(3):
            wire.pass_time()
            assert wire.next_sent() == b"+"


def test_the_packet_that_waits_is_left_to_the_run_once() -> None:
    wire = Wire(encoded(b"g") * 2)
    with receiving(wire) as reception:
        link = reception.end()
        assert link.receive() == b"g"
        wire.gone = True
        with pytest.raises(Gone):
            link.receive()


def test_a_client_that_goes_away_meanwhile_is_gone_for_the_run() -> None:
    wire = Wire()
    with receiving(wire) as reception:
        wire.gone = True
        wire.come(b"")
        reception._thread.join(_PATIENCE_S)
        with pytest.raises(Gone):
            reception.end().receive()


def test_files_are_waited_for_without_reading() -> None:
    read, write = os.pipe()
    channel = FileChannel(read, write)
    assert not channel.is_readable(0)
    os.write(write, b"x")
    assert channel.is_readable(0)
    assert channel.receive(0) == b"x"
    os.close(write)
    assert channel.is_readable(0)
    os.close(read)
