"""Whatever a client sends, the server continues to serve it and the next one."""

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import firmware
from enclave_sim.gdb.protocol.channel import Gone
from enclave_sim.gdb.protocol.link import Link
from enclave_sim.gdb.protocol.packets import PACKET_SIZE, Packet, PacketReader, encoded
from enclave_sim.gdb.server import serve_one
from enclave_sim.time_travel import Session
from tests.enclave_sim.gdb.rig import served


@cache
def session() -> Session:
    return Session("counter", cycles=2)


class Script:
    """A channel whose client sends its data in pieces, and disconnects."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self.sent = b""

    def receive(self, timeout_s: float | None) -> bytes:
        if not self._pieces:
            raise Gone
        return self._pieces.pop(0) if timeout_s is None or self._pieces[0] == b"\x03" else b""

    def send(self, data: bytes) -> None:
        self.sent += data


def said(*pieces: bytes) -> list[bytes]:
    """The packets that the server sends to a client that sends this; the next client is then served as usual."""
    script = Script([*pieces])
    serve_one(session(), script)
    assert not session().breakpoints
    assert not session().watchpoints
    following = Script([encoded(b"qC")])
    serve_one(session(), following)
    assert following.sent == b"+" + encoded(b"QC1")
    return [item.data for item in PacketReader().feed(script.sent) if isinstance(item, Packet)]


numbers = st.one_of(
    st.integers(0, 2**64 - 1).map(lambda n: b"%x" % n),
    st.sampled_from([b"0", b"1", b"100d04", b"1012c0", b"119970", b"fef00000", b"ffffffffffffffff", b"", b"-1", b"zz"]),
    st.binary(max_size=20),
)
heads = st.sampled_from(
    [
        *(b"?", b"g", b"G", b"p", b"P", b"m", b"M", b"x", b"X", b"c", b"C05", b"s", b"S05", b"bs", b"bc", b"b"),
        *(b"Z0,", b"Z1,", b"Z2,", b"Z3,", b"Z4,", b"Z5,", b"z0,", b"z2,", b"H", b"T", b"!", b"R", b"i", b"A", b"F"),
        *(b"vCont;", b"vCont;r", b"vCont;s:", b"vCont;c", b"vCont?", b"vKill;", b"vRun;", b"vFile:open:", b"k", b"D"),
        *(b"qSupported:", b"qXfer:features:read:target.xml:", b"qXfer:memory-map:read::", b"qXfer:", b"qRcmd,"),
        *(b"qRcmd," + line.hex().encode() for line in (b"go ", b"event ", b"scrub ", b"snapshot ", b"transition next")),
        *(b"qThreadExtraInfo,", b"qC", b"q", b"Q", b"QStartNoAckMode", b""),
    ]
)
packets = st.builds(
    lambda head, rest, between: head + between.join(rest),
    heads,
    st.lists(numbers, max_size=4),
    st.sampled_from([b",", b";", b":", b"=", b""]),
)
places = st.sampled_from(
    [firmware.built_in().symbols[name] for name in ("host_call", "gate", "cycle", "status", "exec_loop")]
)
well_formed = st.one_of(
    st.builds(
        lambda sign, kind, place, size: b"%b%d,%x,%x" % (sign, kind, place, size),
        st.sampled_from([b"Z", b"Z", b"z"]),
        st.integers(0, 4),
        places,
        st.sampled_from([1, 4, 8, 4096]),
    ),
    st.builds(lambda place, length: b"vCont;r%x,%x:1" % (place, place + length), places, st.integers(0, 64)),
    st.builds(lambda place, length: b"m%x,%x" % (place, length), places, st.integers(0, 1 << 20)),
    st.sampled_from([b"c", b"s", b"bs", b"bs", b"bc", b"vCont;c", b"vCont;s:1", b"?", b"g", b"QStartNoAckMode"]),
)
commands = st.one_of(
    st.text(max_size=40),
    st.builds(
        lambda name, rest: f"{name} {rest}",
        st.sampled_from("help where phase transition event scrub regions pcrs snapshot go".split()),
        st.sampled_from(["", "next", "previous", "a", "1", "0", "-1", "5000", "500_000", "9" * 5000, "a b", "²", "0x"]),
    ),
).map(lambda line: b"qRcmd," + line.encode("utf-8", "replace").hex().encode())
broken = st.one_of(
    st.binary(max_size=60),
    packets.map(lambda data: encoded(data)[:-1]),
    packets.map(lambda data: b"$" + data + b"#00"),
    st.sampled_from([b"\x03", b"+", b"-", b"$", b"#", b"$#", b"-" * 50, b"$" + b"a" * (PACKET_SIZE + 5) + b"#00"]),
)
streams = st.lists(
    st.one_of(packets.map(encoded), well_formed.map(encoded), commands.map(encoded), broken), max_size=12
)


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(pieces=streams)
def test_any_sequence_of_packets_and_garbage_leaves_a_server_that_serves(pieces: list[bytes]) -> None:
    said(*pieces)


@settings(max_examples=100)
@given(packet=st.one_of(packets, well_formed, commands))
def test_every_packet_but_the_end_has_one_answer(packet: bytes) -> None:
    answers = [one for one in said(encoded(packet), b"") if one == b"OK" or not one.startswith(b"O")]
    assert len(answers) == (packet[:1] != b"k")


@pytest.fixture(autouse=True)
def _at_a_place_where_everything_is_there() -> None:
    session().go_to(session()._timeline.snapshots[0])
    session().run_to(symbol="host_call")


def test_a_packet_with_a_wrong_checksum_is_asked_for_again_and_so_is_an_answer() -> None:
    script = Script([b"$qC#00", encoded(b"qC"), b"-", b"+"])
    serve_one(session(), script)
    assert script.sent == b"-+" + encoded(b"QC1") * 2


def test_without_acknowledgements_broken_packets_are_passed_over() -> None:
    script = Script([encoded(b"QStartNoAckMode"), b"+", b"$qC#00", b"-", encoded(b"qC")])
    serve_one(session(), script)
    assert script.sent == b"+" + encoded(b"OK") + encoded(b"QC1")


@pytest.mark.parametrize(
    "packet", [b"c", b"bc", b"vCont;r0,ffffffffffffffff", b"qRcmd," + b"go 99999999".hex().encode()]
)
def test_a_client_that_goes_away_during_a_motion_ends_it(packet: bytes) -> None:
    long = Session("beacon", cycles=1_000_000)
    long.run_to(at_ns=5_000_000)
    serve_one(long, Script([encoded(packet)]))
    assert long.now.at_ns < 10**9
    with served(long) as client:
        assert client.ask(b"qC") == b"QC1"
        assert client.ask(b"s").startswith(b"T05")


class Flood:
    """A channel in which there is always another packet."""

    def receive(self, _timeout_s: float | None) -> bytes:
        return encoded(b"c") * 100

    def send(self, data: bytes) -> None:
        pass


def test_a_client_that_floods_a_motion_is_left() -> None:
    link = Link(Flood())
    assert link.receive() == b"c"

    def checkpoints() -> None:
        for _ in range(1000):
            link.interrupted()

    with pytest.raises(Gone):
        checkpoints()


def test_an_end_is_an_end() -> None:
    assert said(encoded(b"D"), encoded(b"qC")) == [b"OK"]
    assert said(encoded(b"vKill;1"), encoded(b"qC")) == [b"OK"]
    assert said(encoded(b"k"), encoded(b"qC")) == []
