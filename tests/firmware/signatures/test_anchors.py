"""The list of trust anchors as the kernel reads it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.payload import anchor_list
from enclave_sim.payload.errors import KeyFileError
from enclave_sim.payload.keys import development_anchor
from tests.enclave_sim.payload.signed_modules import KEY, OTHER, PRACTICE
from tests.firmware.signatures.library import anchors_are_sound

LIST = anchor_list.pack([KEY.anchor(), PRACTICE.anchor()])
ONE = json.loads(anchor_list.pack([KEY.anchor()]))[0]


def host_accepts(packed: bytes) -> bool:
    try:
        anchor_list.unpack(packed)
    except KeyFileError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("anchors", [[], [development_anchor()], [KEY.anchor(), OTHER.anchor(), PRACTICE.anchor()]])
def test_what_the_loader_packs_is_sound(anchors: list[object]) -> None:
    assert anchors_are_sound(anchor_list.pack(anchors))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    "packed",
    [
        json.dumps([ONE]).encode(),
        json.dumps([ONE, ONE], indent=7).encode() + b"\n\t \r",
        json.dumps([ONE], separators=(",", ":")).encode(),
        json.dumps([ONE | {"name": "x" * 64}]).encode(),
    ],
    ids=["one line", "much space", "no space", "a long name"],
)
def test_white_space_is_free(packed: bytes) -> None:
    assert anchors_are_sound(packed)
    assert host_accepts(packed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"[",
        b"{}",
        b"[]]",
        b"[]\0",
        LIST[:-1],
        LIST + b",",
        LIST[:-1] + b",]",
        LIST[1:-1],
        LIST.replace(b"trust-anchor/1", b"trust-anchor/2"),
        LIST.replace(b"production", b"testing"),
        json.dumps([ONE | {"name": ""}]).encode(),
        json.dumps([ONE | {"name": "x" * 65}]).encode(),
        json.dumps([ONE | {"name": ".x"}]).encode(),
        json.dumps([ONE | {"name": "a b"}]).encode(),
        json.dumps([ONE | {"more": 1}]).encode(),
        json.dumps([ONE | {"ed25519_public_key": ONE["ed25519_public_key"][2:]}]).encode(),
        json.dumps([ONE | {"ed25519_public_key": " " + ONE["ed25519_public_key"][1:]}]).encode(),
        json.dumps([ONE | {"ml_dsa_65_public_key": ONE["ml_dsa_65_public_key"] + "00"}]).encode(),
        json.dumps([ONE | {"ml_dsa_65_public_key": ONE["ml_dsa_65_public_key"] + " "}]).encode(),
        json.dumps([ONE | {"ml_dsa_65_public_key": ONE["ml_dsa_65_public_key"].upper()}]).encode(),
        json.dumps([{name: ONE[name] for name in list(ONE)[:-1]}]).encode(),
    ],
)
def test_anything_else_is_refused_as_by_the_host(packed: bytes) -> None:
    assert not anchors_are_sound(packed)
    assert not host_accepts(packed)


@pytest.mark.parametrize(
    "packed", [json.dumps([dict(reversed(ONE.items()))]).encode(), LIST.replace(b"alice", b"\\u0061lice")]
)
def test_the_kernel_reads_members_in_their_order_and_no_escapes(packed: bytes) -> None:
    assert not anchors_are_sound(packed)
    assert host_accepts(packed)


@given(st.integers(0, len(LIST) - 1), st.integers(0, 255))
def test_no_change_makes_the_kernel_accept_what_the_host_refuses(at: int, byte: int) -> None:
    packed = LIST[:at] + bytes([byte]) + LIST[at + 1 :]
    assert not anchors_are_sound(packed) or host_accepts(packed)


def test_a_list_cut_off_anywhere_is_refused() -> None:
    for end in range(len(LIST)):
        assert not anchors_are_sound(LIST[:end])
