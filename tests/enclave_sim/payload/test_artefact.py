"""Ahead-of-time artefacts: code is part of the signed content, bound to its module and its engine."""

from hashlib import sha256

import pytest
import wasmtime

from enclave_sim.payload.artefact import Artefact, attach, split
from enclave_sim.payload.errors import PayloadCheck, PayloadError, PayloadRejected
from enclave_sim.payload.keys import SigningKey
from enclave_sim.payload.signature import sign, strip, verify
from enclave_sim.payload.wasm.sections import custom_section, sections

MODULE = bytes(wasmtime.wat2wasm('(module (func (export "_start")))'))
KEY = SigningKey("alice", bytes(32), bytes(32), development=False)
ANCHORS = [KEY.anchor()]
FINGERPRINT = bytes(range(32))
CODE = b"machine code" * 50
ATTACHED = attach(MODULE, FINGERPRINT, CODE, KEY)


def signed_with(payload: bytes, module: bytes = MODULE, after: bytes = b"") -> bytes:
    return sign(module + custom_section("aether.aot", payload) + after, KEY)


def head(module: bytes = MODULE, version: int = 1) -> bytes:
    return bytes([version]) + FINGERPRINT + sha256(module).digest()


def test_an_artefact_survives_signing_and_gives_back_module_and_code() -> None:
    assert split(verify(ATTACHED, ANCHORS).content) == (MODULE, Artefact(FINGERPRINT, CODE))


def test_an_artefact_is_itself_a_signed_and_valid_module_with_the_code_last() -> None:
    wasmtime.Module.validate(wasmtime.Engine(), ATTACHED)
    found = list(sections(ATTACHED))
    assert [section.name for section in (found[0], found[-1])] == ["signature", "aether.aot"]
    assert found[-1].payload == head() + CODE


def test_split_takes_the_signed_file_as_well() -> None:
    assert split(ATTACHED) == split(strip(ATTACHED))


def test_a_module_without_artefact_splits_into_itself_and_none() -> None:
    assert split(verify(sign(MODULE, KEY), ANCHORS).content) == (MODULE, None)


def test_attaching_replaces_signature_and_earlier_code() -> None:
    again = attach(ATTACHED, bytes(32), b"newer", KEY)
    assert split(verify(again, ANCHORS).content) == (MODULE, Artefact(bytes(32), b"newer"))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_fingerprint_has_32_bytes(length: int) -> None:
    with pytest.raises(PayloadError, match=f"^an engine fingerprint has 32 bytes, not {length}$"):
        attach(MODULE, bytes(length), CODE, KEY)


def test_an_artefact_without_code_is_not_made() -> None:
    with pytest.raises(PayloadError, match=r"^an artefact needs compiled code; there is none$"):
        attach(MODULE, FINGERPRINT, b"", KEY)


def test_one_byte_of_code_is_code() -> None:
    assert split(attach(MODULE, FINGERPRINT, b"c", KEY)) == (MODULE, Artefact(FINGERPRINT, b"c"))


MORE = custom_section("more", b"")


def another_module(module: bytes, compiled: bytes) -> str:
    digests = [sha256(each).hexdigest() for each in (compiled, module)]
    return f"its code was compiled from module {digests[0]}, this one is {digests[1]}; compile the module again"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (signed_with(head(MODULE + b"\0\2\1x") + CODE), another_module(MODULE, MODULE + b"\0\2\1x")),
        (signed_with(head() + CODE, MODULE + MORE), another_module(MODULE + MORE, MODULE)),
        (signed_with(head()), "it holds 65 bytes, too few for its 65 byte head and code"),
        (signed_with(b""), "it holds 0 bytes, too few for its 65 byte head and code"),
        (signed_with(head(version=2) + CODE), "its layout has version 2; this version reads 1"),
        (signed_with(head(version=0) + CODE), "its layout has version 0; this version reads 1"),
        (signed_with(head() + CODE, after=MORE), "there must be one such section, the last of the module"),
        (
            signed_with(head() + CODE, after=custom_section("aether.aot", head() + CODE)),
            "there must be one such section, the last of the module",
        ),
    ],
)
def test_code_which_does_not_belong_to_its_module_is_a_mismatch(data: bytes, reason: str) -> None:
    content = verify(data, ANCHORS).content
    with pytest.raises(PayloadRejected) as caught:
        split(content)
    assert caught.value.check is PayloadCheck.ARTEFACT_MISMATCH
    assert caught.value.message == f"section 'aether.aot': {reason}"


def test_changing_any_byte_of_the_code_is_rejected_before_anyone_looks_at_it() -> None:
    for at in range(ATTACHED.index(head()), len(ATTACHED)):
        changed = bytearray(ATTACHED)
        changed[at] ^= 0x01
        with pytest.raises(PayloadRejected) as caught:
            verify(bytes(changed), ANCHORS)
        assert caught.value.check is PayloadCheck.BAD_ED25519


def test_code_added_to_a_signed_module_is_rejected() -> None:
    with pytest.raises(PayloadRejected):
        verify(sign(MODULE, KEY) + custom_section("aether.aot", head() + CODE), ANCHORS)


def test_code_removed_from_a_signed_artefact_is_rejected() -> None:
    with pytest.raises(PayloadRejected):
        verify(ATTACHED[: list(sections(ATTACHED))[-1].offset], ANCHORS)
