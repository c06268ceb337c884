"""Packets arrive, however they are split; anything else is recognized, and never an error."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.gdb.protocol.packets import PACKET_SIZE, Control, Item, Packet, PacketReader, encoded, parse_hex


def fed(*pieces: bytes) -> list[Item]:
    reader = PacketReader()
    return [item for piece in pieces for item in reader.feed(piece)]


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_what_is_encoded_arrives_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    whole = encoded(data)
    places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    pieces = [whole[a:b] for a, b in pairwise(places)]
    assert fed(*pieces) == [Packet(data)]
    assert whole.count(b"$") == whole.count(b"#") == 1


@given(garbage=st.binary(max_size=300), data=st.binary(max_size=50))
def test_a_packet_behind_garbage_arrives(garbage: bytes, data: bytes) -> None:
    ended = garbage + b"#00" if b"$" in garbage else garbage
    assert fed(ended, b"$#00", encoded(data))[-1] == Packet(data)


@given(data=st.binary(min_size=1, max_size=50), wrong=st.integers(1, 255))
def test_a_wrong_checksum_is_told(data: bytes, wrong: int) -> None:
    whole = encoded(data)
    right = int(whole[-2:], 16)
    assert fed(whole[:-2] + b"%02x" % (right + wrong & 0xFF)) == [Control.BROKEN]


def test_marks_stand_beside_packets() -> None:
    assert fed(b"+-\x03", encoded(b"g"), b"x+") == [
        *(Control.ACKNOWLEDGED, Control.NOT_ACKNOWLEDGED, Control.INTERRUPT),
        *(Packet(b"g"), Control.ACKNOWLEDGED),
    ]


def test_broken_packets() -> None:
    assert fed(b"$}#7d") == fed(b"$a}}b#bd") == [Control.BROKEN]
    assert fed(b"$g#zz") == fed(b"$g# 7") == fed(b"$g#+7") == [Control.BROKEN]
    assert fed(b"$m12$g#67") == [Packet(b"g")]
    assert fed(b"$m1000,4") == []


def test_a_packet_that_is_too_long_is_broken_and_takes_no_memory() -> None:
    reader = PacketReader()
    assert list(reader.feed(b"$" + b"a" * (PACKET_SIZE + 1))) == []
    for _ in range(10):
        assert list(reader.feed(b"a" * 100_000)) == []
    assert len(reader._content or b"") == PACKET_SIZE
    assert list(reader.feed(b"#00")) == [Control.BROKEN]
    assert list(reader.feed(encoded(b"a" * PACKET_SIZE))) == [Packet(b"a" * PACKET_SIZE)]


def test_hexadecimal_numbers_have_digits_and_nothing_else() -> None:
    assert parse_hex(b"aB9") == 0xAB9
    assert parse_hex(b"f" * 16) == 2**64 - 1
    wrong = (b"", b"f" * 17, b"0x1", b"-1", b"+1", b" 1", b"1_0", "\uff11".encode())
    assert [parse_hex(text) for text in wrong] == [None] * len(wrong)
