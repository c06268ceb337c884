"""The wire format of protocol buffers, as Google's own library writes it."""

from google.protobuf.internal.encoder import _EncodeVarint  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.recording.exports import protobuf
from enclave_sim.recording.exports.protobuf import Kept, fixed64, message, varint


@given(st.integers(0, (1 << 64) - 1) | st.integers(0, 64).map(lambda bits: (1 << bits) - 1))
def test_numbers(value: int) -> None:
    encoded = bytearray()
    _EncodeVarint(encoded.extend, value)
    assert varint(value) == encoded
    assert int.from_bytes(fixed64(value), "little") == value


@given(st.binary(max_size=20_000))
def test_a_message_follows_its_length(content: bytes) -> None:
    assert message(content) == varint(len(content)) + content


def test_few_results_are_kept() -> None:
    made: list[int] = []

    def make(value: int) -> bytes:
        made.append(value)
        return varint(value)

    kept = Kept(make)
    for value in (*range(protobuf._MOST_KEPT), 0, 5000, 5000):
        assert kept[value] == varint(value)
    assert made == [*range(protobuf._MOST_KEPT), 5000, 5000]
    assert len(kept) == protobuf._MOST_KEPT
