"""Admission: each way to forge a module, and an entry into ring 3 before a module was verified."""

from dataclasses import replace
from functools import cache

import pytest
from wasmtime import wat2wasm

from enclave_sim.events import PayloadVerified
from enclave_sim.guarantees import Run, admitted, observe
from enclave_sim.guarantees.judges import admission
from enclave_sim.guarantees.judges.admission import forgery
from enclave_sim.guarantees.report import Finding
from enclave_sim.payload.keys import SigningKey, TrustAnchor
from enclave_sim.payload.signature import inspect, sign
from machine.events import RingTransition

MODULE = bytes(wat2wasm('(module (func (export "_start")))'))
KEY = SigningKey("alice", bytes(32), bytes(32), development=False)
OTHER = SigningKey("bob", b"\1" * 32, b"\1" * 32, development=True)
SIGNED = sign(MODULE, KEY)
ED25519, ML_DSA_65 = (SIGNED.index(record.signature) for record in inspect(SIGNED).records)


def flipped(at: int) -> bytes:
    return SIGNED[:at] + bytes([SIGNED[at] ^ 1]) + SIGNED[at + 1 :]


def fault(module: bytes, *anchors: TrustAnchor, production: bool = False) -> str | None:
    return forgery(module, tuple(anchors or [KEY.anchor()]), production=production)


@pytest.mark.parametrize("production", [False, True])
def test_a_module_that_is_signed_by_an_anchor_is_not_a_forgery(production: bool) -> None:
    assert fault(SIGNED, production=production) is None
    assert fault(SIGNED, OTHER.anchor(), KEY.anchor(), production=production) is None
    assert fault(SIGNED, KEY.anchor(), OTHER.anchor(), production=production) is None


def test_a_development_key_is_a_fault_in_production_alone() -> None:
    signed = sign(MODULE, OTHER)
    assert fault(signed, OTHER.anchor()) is None
    assert fault(signed, OTHER.anchor(), production=True) == "its key is a development key"


@pytest.mark.parametrize(
    ("module", "what"),
    [
        (MODULE, "it has 0 signatures, not 2"),
        (flipped(ED25519), "its Ed25519 signature is not by the key it names"),
        (flipped(ED25519 + 63), "its Ed25519 signature is not by the key it names"),
        (flipped(ML_DSA_65), "its ML-DSA-65 signature is not by the key it names"),
        (flipped(ML_DSA_65 + 3308), "its ML-DSA-65 signature is not by the key it names"),
        (flipped(len(SIGNED) - 1), "its Ed25519 signature is not by the key it names"),
        (sign(MODULE, OTHER), "no trust anchor has its keys"),
        (b"\0asm", "at byte 0: a module starts with 0061736d01000000, this file with 0061736d"),
    ],
)
def test_each_forgery_is_named(module: bytes, what: str) -> None:
    assert fault(module) == what


@pytest.mark.parametrize("half", ["ed25519_public_key", "ml_dsa_65_public_key"])
def test_both_keys_are_those_of_one_anchor(half: str) -> None:
    anchors = [KEY.anchor(), OTHER.anchor()]
    mixed = TrustAnchor(
        "mixed",
        anchors[half != "ed25519_public_key"].ed25519_public_key,
        anchors[half != "ml_dsa_65_public_key"].ml_dsa_65_public_key,
        development=False,
    )
    assert fault(SIGNED, mixed) == "no trust anchor has its keys"


@cache
def run() -> Run:
    return observe(["beacon", "counter"])


def without(kind: type, *numbers: int) -> Run:
    kept = [e for e in run().events if not (isinstance(e, kind) and (not numbers or e.payload in numbers))]  # type: ignore[attr-defined]
    return replace(run(), events=tuple(kept))


def whats(*runs: Run) -> list[str]:
    return [finding.what for finding in admitted(runs).findings]


def test_every_payload_of_every_run_is_looked_at() -> None:
    flat = observe("surveyor", engine="native")
    report = admitted([flat, run(), flat, run()])
    assert report.holds
    assert report.looked_at == {"runs": 4, "payloads": 4 + 2 * flat.looked_at["measurement"]["flat guests"]}


def test_a_fault_of_a_flat_guest_is_a_finding() -> None:
    flat = observe("surveyor", engine="native")
    found = {**flat.findings, "measurement": (Finding("x"),)}
    assert admitted([replace(flat, findings=found), run()]).findings == (Finding("x"),)


@pytest.mark.parametrize("number", [0, 1])
def test_ring_3_is_entered_after_every_payload_was_verified(number: int) -> None:
    late = f"ring 3 was entered before payload {number} was verified"
    assert whats(without(PayloadVerified, number)) == [late]
    neither = [f"ring 3 was entered before payload {each} was verified" for each in (0, 1)]
    assert whats(without(PayloadVerified)) == neither
    asleep = replace(without(PayloadVerified), events=())
    assert whats(asleep) == []


def test_ring_0_is_not_ring_3() -> None:
    out = [e for e in run().events if isinstance(e, RingTransition) and e.to_ring == 0]
    assert out
    assert whats(replace(run(), events=tuple(out))) == []


@pytest.mark.parametrize("number", [0, 1])
def test_a_forged_payload_that_was_verified_is_found(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    asked: list[bytes] = []

    def forged(module: bytes, _anchors: object, *, production: bool) -> str | None:
        assert not production
        asked.append(module)
        return "it is forged" if len(asked) == number + 1 else None

    monkeypatch.setattr(admission, "forgery", forged)
    assert whats(run()) == [f"payload {number} was accepted, but it is forged"]
    asked.clear()
    late = f"ring 3 was entered before payload {number} was verified"
    assert whats(without(PayloadVerified, number)) == [late]
