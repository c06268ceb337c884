"""A recording embeds files that some readers lack; files that they have are found again."""

from hashlib import sha256

import pytest

import payloads as built_in
from enclave_sim.payload.keys import SigningKey, development_anchor
from enclave_sim.recording.embedded import embedded_anchors, embedded_payloads, find_anchors, find_payloads
from enclave_sim.recording.format import Header, RecordingError

BEACON, SURVEYOR = built_in.read("beacon"), built_in.read_flat("surveyor")
ANCHORS = [SigningKey(name, name.encode() * 32, bytes(32), development=False).anchor() for name in ("a", "z")]


def digest(payload: bytes) -> str:
    return sha256(payload).hexdigest()


def header(*payloads: bytes, embedded: tuple[bytes, ...] = ()) -> Header:
    return Header({}, "", tuple(map(digest, payloads)), payloads=embedded)


def test_payloads_that_are_not_built_in_are_embedded_each_once() -> None:
    assert embedded_payloads([BEACON, b"x", SURVEYOR, b"y", b"x"]) == (b"x", b"y")
    assert embedded_payloads(map(built_in.read, built_in.names())) == ()
    assert embedded_payloads(map(built_in.read_flat, built_in.flat_names())) == ()


def test_payloads_are_found_wherever_they_are_in_the_order_of_the_run() -> None:
    wanted = header(b"given", BEACON, b"embedded", SURVEYOR, b"given", embedded=(b"embedded",))
    assert find_payloads(wanted, [b"other", b"given"]) == [b"given", BEACON, b"embedded", SURVEYOR, b"given"]
    assert find_payloads(header()) == []


def test_a_payload_that_is_nowhere_is_named() -> None:
    with pytest.raises(RecordingError) as caught:
        find_payloads(header(BEACON, b"x"), [b"y"])
    assert str(caught.value) == (
        f"the payload with SHA-256 {digest(b'x')} is missing: it is neither in the recording nor built in, "
        "and none of the payloads given is it"
    )


def test_the_development_anchor_is_not_embedded() -> None:
    assert embedded_anchors([ANCHORS[0], development_anchor(), ANCHORS[1]]) == tuple(ANCHORS)


@pytest.mark.parametrize("count", range(3))
def test_anchors_are_found_in_the_order_of_their_labels(count: int) -> None:
    anchors = ANCHORS[:count]
    found = Header({}, "", (), trust_anchors=tuple(anchors[::-1]))
    assert find_anchors(found, [anchor.label for anchor in anchors]) == anchors
    everything = sorted([*anchors, development_anchor()], key=lambda anchor: anchor.label)
    assert find_anchors(found, [anchor.label for anchor in everything]) == everything


def test_other_anchors_than_those_wanted_are_named() -> None:
    found = Header({}, "", (), trust_anchors=(ANCHORS[0],))
    with pytest.raises(RecordingError) as caught:
        find_anchors(found, ["b", "c"])
    labels = [ANCHORS[0].label, development_anchor().label]
    assert str(caught.value) == f"the trust anchors b, c are wanted; there are {', '.join(labels)}"
    with pytest.raises(RecordingError):
        find_anchors(found, [])
