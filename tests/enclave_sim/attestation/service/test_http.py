"""Invalid requests: each gets its status and one JSON object, and never a 500."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.attestation.service import application as application_module
from enclave_sim.attestation.service import database, verifier
from enclave_sim.errors import ConfigurationError
from tests.enclave_sim.attestation.service.node import Node
from tests.enclave_sim.attestation.service.rig import EVIDENCE, JSON, Rig


def _to_json(value: Any) -> bytes:
    return json.dumps(value).encode()


NODE = Node()
AK = NODE.ak_name.hex()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"cycle": -1}',
        b'{"cycle": 4294967296}',
        b'{"cycle": 1.5}',
        b'{"cycle": true}',
        b'{"cycle": "1"}',
        b'{"cycle": NaN}',
        b'{"cycle": 1, "ak": 1}',
        b'{"cycle": 1, "ak": ""}',
        b'{"cycle": 1, "ak": "%s"}' % AK[:-2].encode(),
        b'{"cycle": 1, "ak": "%s00"}' % AK.encode(),
        b'{"cycle": 1, "ak": "%s\\n"}' % AK.encode(),
        b'{"cycle": 1, "ak": "%s "}' % AK[:-1].encode(),
        b'{"cycle": 1, "nonce": "00"}',
        b'{"cycle": 1} x',
        b'{"cycle": "\xff"}',
        b'{"cycle": "\\ud800"}',
        b"[" * 4000,
        b'{"a":' * 800,
        b'{"cycle": ' + b"9" * 4000 + b"}",
    ],
)
def test_a_malformed_request_for_a_challenge_is_a_bad_request(rig: Rig, body: bytes) -> None:
    assert rig.post_challenge(body).error == (400, "request_malformed")


@pytest.mark.parametrize("body", [b'{"cycle": 0}', b'{"cycle": 4294967295, "ak": null}'])
def test_a_request_for_a_challenge_may_leave_out_the_key(rig: Rig, body: bytes) -> None:
    answer = rig.post_challenge(body)
    assert answer.status == 200
    assert sorted(answer.content) == ["challenge", "expires_in_s", "nonce"]
    assert answer.content["expires_in_s"] == 60
    assert answer.headers["cache-control"] == "no-store"


def test_upper_case_names_of_keys_are_the_same_names(rig: Rig) -> None:
    answer = rig.post_challenge(b'{"cycle": 0, "ak": "%s"}' % AK.upper().encode())
    nonce = bytes.fromhex(answer.content["nonce"])
    assert rig.failures(rig.submit(answer.content["challenge"], NODE.evidence(nonce))) == []


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json; charset=x", "application/eat+cwtx"])
def test_evidence_of_another_content_type_is_unsupported(rig: Rig, content_type: str) -> None:
    challenge, nonce = rig.challenge()
    answer = rig.submit(challenge, NODE.evidence(nonce), {"content-type": content_type})
    assert answer.error == (415, "content_type")
    answer = rig.submit(challenge, NODE.evidence(nonce), {"content-type": "Application/EAT+CWT; x=y"})
    assert rig.failures(answer) == []


def test_a_request_for_a_challenge_must_be_json(rig: Rig) -> None:
    assert rig.post_challenge(b'{"cycle": 0}', EVIDENCE).error == (415, "content_type")
    assert rig.post_challenge(b'{"cycle": 0}', {}).error == (415, "content_type")


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1000):
        yield bytes(1000)


@pytest.mark.parametrize("body", [bytes(65537), lambda: _chunks(66_000)], ids=["announced", "chunked"])
def test_an_oversized_body_is_too_large_and_leaves_the_challenge_open(rig: Rig, body: Any) -> None:
    challenge, nonce = rig.challenge()
    answer = rig.submit(challenge, body() if callable(body) else body)
    assert answer.error == (413, "body_too_large")
    assert rig.failures(rig.submit(challenge, NODE.evidence(nonce))) == []


def test_the_largest_body_is_judged(rig: Rig) -> None:
    challenge, _ = rig.challenge()
    assert rig.failures(rig.submit(challenge, bytes(65536))) == ["evidence file"]
    assert rig.post_challenge(b'{"cycle": 0}' + b" " * 4084).status == 200
    assert rig.post_challenge(b'{"cycle": 0}' + b" " * 4085).error == (413, "body_too_large")


def test_a_body_that_does_not_arrive_times_out(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application_module, "BODY_TIMEOUT_S", 0.02)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    assert rig.request("POST", "/challenge", slowly(), JSON).error == (408, "body_slow")


def test_evidence_without_a_challenge_is_a_bad_request(rig: Rig) -> None:
    assert rig.request("POST", "/evidence", b"", EVIDENCE).error == (400, "challenge_missing")
    challenge, nonce = rig.challenge()
    path = f"/evidence?challenge={challenge}&challenge={challenge}"
    assert rig.request("POST", path, NODE.evidence(nonce), EVIDENCE).error == (400, "challenge_malformed")


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "/", (404, "not_found")),
        ("GET", "/health/", (404, "not_found")),
        ("POST", "/challenge/", (404, "not_found")),
        ("GET", "/challenge", (405, "method_not_allowed")),
        ("DELETE", "/verdicts", (405, "method_not_allowed")),
        ("GET", "/verdicts/00", (404, "verdict_unknown")),
        ("GET", "/verdicts/%00", (404, "verdict_unknown")),
        ("GET", "/verdicts/%ff", (404, "verdict_unknown")),
        ("GET", "/verdicts?limit=0", (400, "limit_malformed")),
        ("GET", "/verdicts?limit=1001", (400, "limit_malformed")),
        ("GET", "/verdicts?limit=-1", (400, "limit_malformed")),
        ("GET", "/verdicts?limit=%C2%B2", (400, "limit_malformed")),
        ("GET", "/verdicts?limit=1&limit=2", (400, "limit_malformed")),
        ("GET", f"/verdicts?limit={'9' * 5000}", (400, "limit_malformed")),
    ],
)
def test_what_is_not_there_is_an_error_in_json(rig: Rig, method: str, path: str, error: tuple[int, str]) -> None:
    assert rig.request(method, path).error == error


def test_health_says_that_the_database_works(rig: Rig) -> None:
    assert rig.request("GET", "/health").content == {"status": "ok"}
    rig.database.close()
    assert rig.request("GET", "/health").error == (503, "database")
    assert rig.post_challenge(b'{"cycle": 0}').error == (503, "database")


def test_the_journal_lists_the_newest_verdicts_first(rig: Rig) -> None:
    verdicts: list[dict[str, Any]] = []
    for cycle in range(3):
        challenge, nonce = rig.challenge(cycle)
        verdicts.insert(0, rig.submit(challenge, NODE.evidence(nonce, cycle if cycle != 1 else 9)).content)
    assert [verdict["accepted"] for verdict in verdicts] == [True, False, True]
    assert rig.request("GET", "/verdicts").content == {"verdicts": verdicts}
    assert rig.request("GET", "/verdicts?limit=2").content == {"verdicts": verdicts[:2]}


def test_the_journal_keeps_the_newest_verdicts_only(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "KEPT", {False: database.Kept(2, 10**6)})
    challenges = [rig.challenge()[0] for _ in range(3)]
    for challenge in challenges:
        rig.submit(challenge, b"x")
    kept = [verdict["challenge"] for verdict in rig.request("GET", "/verdicts").content["verdicts"]]
    assert kept == challenges[:0:-1]


def test_a_verdict_that_cannot_be_written_down_is_not_given(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    challenge, nonce = rig.challenge()

    def full(*_: object, accepted: bool) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(database.Database, "add_verdict", full)
        assert rig.submit(challenge, NODE.evidence(nonce)).error == (503, "database")
    assert rig.request("GET", "/verdicts").content == {"verdicts": []}
    assert rig.failures(rig.submit(challenge, NODE.evidence(nonce))) == []


def test_a_defect_accepts_nothing_and_is_reported_in_json(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    challenge, nonce = rig.challenge()

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(verifier, "verify", broken)
    answer = rig.submit(challenge, NODE.evidence(nonce))
    assert answer.error == (500, "defect")
    assert "secret" not in answer.content["message"]
    assert rig.request("GET", "/verdicts").content == {"verdicts": []}


_SHARED = Rig()
_EVIDENCE = NODE.evidence(bytes(32))


@settings(max_examples=200)
@given(
    st.binary(max_size=300)
    | st.builds(lambda at, new: _EVIDENCE[:at] + new + _EVIDENCE[at + len(new) :], st.integers(0, 900), st.binary())
    | st.builds(lambda end: _EVIDENCE[:end], st.integers(0, len(_EVIDENCE)))
)
def test_no_evidence_is_ever_an_error_of_the_service(body: bytes) -> None:
    challenge, _ = _SHARED.challenge()
    assert _SHARED.failures(_SHARED.submit(challenge, body)) != []


@settings(max_examples=200)
@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["cycle", "ak", "x"]), inner),
    ).map(_to_json)
)
def test_no_request_for_a_challenge_is_ever_an_error_of_the_service(body: bytes) -> None:
    answer = _SHARED.post_challenge(body)
    assert answer.status == 200 or answer.error in ((400, "request_malformed"), (413, "body_too_large"))


@settings(max_examples=100)
@given(st.text(st.characters(codec="utf-8"), max_size=40), st.binary(max_size=40))
def test_no_id_is_ever_an_error_of_the_service(text: str, raw: bytes) -> None:
    for name in (quote(text, safe=""), quote(raw, safe="")):
        assert _SHARED.submit(name, b"x").error == (404, "challenge_unknown")
        assert _SHARED.request("GET", f"/verdicts/{name}?limit={name}").status in (200, 400, 404)


def test_a_file_that_is_not_a_database_of_a_verifier_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("These are notes, and they are long enough to be taken for a page of a database.\n" * 20)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE poems (line TEXT)")
    connection.close()
    for path in (text, other, tmp_path, tmp_path / "missing" / "file"):
        with pytest.raises(ConfigurationError, match=path.name):
            database.Database(path)
