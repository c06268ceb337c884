"""The link: acknowledgements, duplicate packets, and requests that need no run."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.gdb.protocol.channel import Gone
from enclave_sim.gdb.protocol.link import Link
from enclave_sim.gdb.protocol.packets import Item, Packet, PacketReader, encoded


class Wire:
    """A channel whose other end has sent some pieces, each received separately."""

    def __init__(self, *said: bytes) -> None:
        self.said = deque(said)
        self.sent = b""

    def receive(self, timeout_s: float | None) -> bytes:
        if self.said:
            return self.said.popleft()
        if timeout_s is None:
            raise Gone
        return b""

    def send(self, data: bytes) -> None:
        self.sent += data


def answered(*said: bytes) -> list[bytes]:
    """The packets received by a server that answers each with its data in capitals."""
    link, received = Link(Wire(*said)), []

    def serve() -> None:
        while True:
            received.append(link.receive())
            link.send(received[-1].upper())

    with pytest.raises(Gone):
        serve()
    return received


def test_a_packet_that_is_repeated_before_its_answer_is_acknowledged_is_not_answered_again() -> None:
    wire = Wire(encoded(b"s") + encoded(b"s"), encoded(b"s"), b"+", encoded(b"g"))
    link = Link(wire)
    assert link.receive() == b"s"
    link.send(b"T05")
    assert link.receive() == b"g"
    assert packets(wire.sent) == [Packet(b"T05")]
    assert wire.sent.count(b"+") == 4


def test_the_same_packet_after_the_acknowledgement_is_another_one() -> None:
    assert answered(encoded(b"s"), b"+", encoded(b"s"), b"+" + encoded(b"s")) == [b"s"] * 3


def test_the_first_packet_repeated_by_a_client_that_waited_has_one_answer() -> None:
    wire = Wire(b"+", encoded(b"qSupported:swbreak+") * 3, b"+", encoded(b"vMustReplyEmpty"))
    link = Link(wire)
    assert link.receive() == b"vMustReplyEmpty"
    assert wire.sent.count(b"PacketSize") == 1
    assert link.features == {b"swbreak+"}


def test_output_before_the_answer_does_not_make_it_answered() -> None:
    wire = Wire(encoded(b"qRcmd,"), b"+", encoded(b"qRcmd,"), b"+", b"+", encoded(b"g"))
    link = Link(wire)
    assert link.receive() == b"qRcmd,"
    link.send(b"O41", more=True)
    assert not link.interrupted()  # the acknowledgement of the output is taken here, before the answer is sent
    link.send(b"OK")
    assert link.receive() == b"g"


def test_without_acknowledgements_nothing_is_a_copy() -> None:
    start = encoded(b"QStartNoAckMode")
    assert answered(start, b"+", *[encoded(b"s")] * 3) == [b"s"] * 3
    assert answered(start, *[encoded(b"s")] * 3) == [b"s"] * 3  # the last acknowledgement did not come
    wire = Wire(start + start, b"+", encoded(b"g"))
    assert Link(wire).receive() == b"g"
    assert wire.sent == b"+" + encoded(b"OK")


def test_an_answer_is_sent_again_until_it_is_acknowledged_and_no_longer() -> None:
    wire = Wire(encoded(b"g"), b"-", b"+", b"-", encoded(b"s"))
    link = Link(wire)
    link.receive()
    link.send(b"01")
    assert link.receive() == b"s"
    assert wire.sent == b"+" + encoded(b"01") * 2 + b"+"


def test_polling_answers_what_needs_no_run_and_leaves_the_rest() -> None:
    wire = Wire(b"+" + encoded(b"qSupported"), encoded(b"QStartNoAckMode"), encoded(b"g"), encoded(b"?"))
    link = Link(wire)
    assert not link.poll()
    assert [item.data[:10] for item in packets(wire.sent)] == [b"PacketSize"]
    assert not link.poll()
    assert packets(wire.sent)[1:] == [Packet(b"OK")]
    assert link.poll()
    assert link.poll()
    link.keep_waiting()
    assert (link.receive(), link.receive()) == (b"g", b"?")


def packets(sent: bytes) -> list[Packet]:
    items: list[Item] = list(PacketReader().feed(sent))
    return [item for item in items if isinstance(item, Packet)]


@given(st.lists(st.tuples(st.sampled_from([b"g", b"s", b"c", b"m1,2"]), st.integers(1, 4), st.booleans())))
def test_a_client_that_repeats_packets_at_any_time_has_one_answer_to_each(
    asked: list[tuple[bytes, int, bool]],
) -> None:
    said: list[bytes] = []
    for data, copies, at_once in asked:
        said += [encoded(data) * copies] if at_once else [encoded(data)] * copies
        said.append(b"+")
    assert answered(*said) == [data for data, _, _ in asked]
