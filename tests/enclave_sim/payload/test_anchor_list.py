"""The list of trust anchors that the boot loader passes on: one text for each list, and one error for anything else."""

import json

import pytest

from enclave_sim.payload.anchor_list import pack, unpack
from enclave_sim.payload.errors import KeyFileError
from enclave_sim.payload.keys import SigningKey, TrustAnchor

ANCHORS = [SigningKey(name, name.encode() * 32, bytes(32), development=name == "a").anchor() for name in "abc"]


@pytest.mark.parametrize("count", range(4))
def test_a_list_gives_back_its_anchors_in_their_order(count: int) -> None:
    for anchors in (ANCHORS[:count], ANCHORS[:count][::-1]):
        assert unpack(pack(anchors)) == tuple(anchors)


def test_a_list_is_a_json_array_of_anchor_files() -> None:
    assert pack([]) == b"[]"
    assert json.loads(pack(ANCHORS)) == [json.loads(anchor.to_json()) for anchor in ANCHORS]


def test_white_space_does_not_matter() -> None:
    assert unpack(b" [ " + b" ,\n".join(anchor.to_json() for anchor in ANCHORS) + b" ]\n") == tuple(ANCHORS)


@pytest.mark.parametrize(
    "packed", [b"", b"[", b"{}", b"null", b"7", b'"a"', b"\xff", b"[1,]", b"[] []", b"[" * 100_000], ids=range(10)
)
def test_what_is_not_an_array_is_refused(packed: bytes) -> None:
    with pytest.raises(KeyFileError) as caught:
        unpack(packed)
    assert str(caught.value) == "the trust anchors are no JSON array of anchor files"


@pytest.mark.parametrize("file", ["{}", "7", "null", "[]", '"\xff"', '{"a": "\xff"}'])
@pytest.mark.parametrize("place", range(3))
def test_an_entry_that_is_not_an_anchor_file_is_named_by_its_number(file: str, place: int) -> None:
    files = [anchor.to_json() for anchor in ANCHORS]
    files[place] = file.encode("latin-1")
    with pytest.raises(KeyFileError, match=rf"^trust anchor {place}: not a JSON file of format aether-trust-anchor/1"):
        unpack(b"[" + b",".join(files) + b"]")


def test_an_anchor_of_a_wrong_key_is_named_by_its_number() -> None:
    short = json.loads(ANCHORS[0].to_json()) | {"ed25519_public_key": "00"}
    with pytest.raises(KeyFileError, match=r"^trust anchor 1: ed25519_public_key has 1 bytes instead of 32$"):
        unpack(b"[" + ANCHORS[0].to_json() + b"," + json.dumps(short).encode() + b"]")


def test_any_iterable_of_anchors_is_packed() -> None:
    anchors: list[TrustAnchor] = []
    assert pack(iter(anchors)) == pack(tuple(anchors)) == b"[]"
