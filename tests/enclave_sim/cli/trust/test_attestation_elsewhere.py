"""`run --verifier`: an external verifier accepts, refuses, is down, slow or hostile."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from enclave_sim.attestation import Policy, ReferenceValues
from enclave_sim.attestation.service.client import RemoteVerifier as Client
from enclave_sim.attestation.service.database import Database
from enclave_sim.attestation.service.server import serving
from enclave_sim.attestation.service.verifier import Verifier
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.enclave.attester import remote
from enclave_sim.events import AttestationDecided
from enclave_sim.recording.reader import read_events, read_header
from enclave_sim.time_travel.replay import replay
from tests.enclave_sim.attestation.service import hostile
from tests.enclave_sim.cli.command import Ended, assert_refused, command


@pytest.fixture
def service() -> Iterator[Any]:
    """Starts a verifier with these reference values and gives its URL."""
    with ExitStack() as stack:

        def start(values: ReferenceValues, policy: Policy | None = None) -> str:
            database = Database(None)
            stack.callback(database.close)
            return stack.enter_context(serving(Verifier(database, values, policy or Policy())))

        yield start


def values_of(*arguments: str) -> ReferenceValues:
    return ReferenceValues.from_json(command("reference-values", *arguments).output.encode())


REQUIRE = ("--attestation", "require")


def run(url: str, *more: str | Path) -> tuple[Ended, dict[str, Any]]:
    ended = command("run", "beacon", *REQUIRE, "--verifier", url, "--json", *more)
    return ended, json.loads(ended.output) if ended.output else {}


def test_a_verifier_that_knows_the_node_accepts_every_cycle_and_the_recording_can_be_replayed(
    service: Any, tmp_path: Path
) -> None:
    url = service(values_of("beacon", *REQUIRE, "--cycles", "3"))
    ended, result = run(url, "--cycles", "3", "--record", tmp_path / "r.jsonl")
    assert (ended.code, ended.error, result["outcome"]) == (ExitCode.OK, "", "COMPLETED")
    assert result["attestation"]["accepted"] == 3
    decided = [event for event in read_events(tmp_path / "r.jsonl") if isinstance(event, AttestationDecided)]
    assert [(event.cycle, event.verdict) for event in decided] == [(n, "accepted") for n in range(3)]
    assert read_header(tmp_path / "r.jsonl").configuration["verifier"] == "external"
    assert replay(tmp_path / "r.jsonl").equal


def test_nonces_of_a_verifier_elsewhere_are_its_own(service: Any, tmp_path: Path) -> None:
    url = service(values_of("beacon", *REQUIRE))
    tpm = ("--tpm", f"model:{tmp_path / 'tpm'}")
    digests = {run(url, *tpm)[1]["digest"] for _ in range(2)}
    assert len(digests) == 2


def assert_verifier_refused(ended: Ended, result: dict[str, Any], *words: str) -> None:
    assert (ended.code, result["outcome"]) == (ExitCode.KERNEL_FAULT, "ATTESTATION_REFUSED")
    assert (result["signals"], result["residue_bytes"], ended.error) == ([], 0, "")
    assert result["detail"].isprintable()
    assert [word for word in words if word not in result["detail"]] == []


def test_a_second_run_with_the_same_model_is_stale_and_one_whose_resets_are_counted_is_not(
    service: Any, tmp_path: Path
) -> None:
    file = f"model:{tmp_path / 'tpm'}"
    kept = values_of("beacon", *REQUIRE, "--tpm", file)
    url = service(values_of("beacon", *REQUIRE).merge(kept))
    assert run(url)[0].code == ExitCode.OK
    assert_verifier_refused(*run(url), "freshness: reset count 1, restart count 0, clock ")
    for _ in range(3):
        assert run(url, "--tpm", file)[0].code == ExitCode.OK


def test_a_verifier_with_other_reference_values_refuses(service: Any) -> None:
    url = service(values_of("counter", *REQUIRE))
    assert_verifier_refused(*run(url), "loader information: ", "(and 1 more)")
    recorded = command("run", "beacon", "--verifier", url, "--json")
    assert (recorded.code, json.loads(recorded.output)["attestation"]["refused"]) == (ExitCode.OK, 1)


def test_a_verifier_that_demands_ml_dsa_is_content_with_the_model(service: Any) -> None:
    both = Policy(frozenset({"ecdsa-p256", "ml-dsa-65"}))
    assert run(service(values_of("beacon", *REQUIRE), both))[0].code == ExitCode.OK


def test_a_verifier_that_is_down() -> None:
    assert_verifier_refused(*run("http://127.0.0.1:9"), "http://127.0.0.1:9/challenge: no connection")


@pytest.mark.parametrize(
    "behaviours",
    [
        [hostile.silent],
        [hostile.saying(hostile.answer(hostile.CHALLENGE)), hostile.silent],
        [hostile.dripping(b"HTTP/1.1 200 OK\r\n")],
        [hostile.saying(b"")],
        [hostile.saying(b"\xff" * 100)],
        [hostile.saying(hostile.answer({"error": "no"}, "500 Internal Server Error"))],
        [hostile.saying(hostile.answer(hostile.CHALLENGE)), hostile.saying(b"HTTP/1.1 200 OK\r\n\r\n")],
        [hostile.saying(hostile.answer(hostile.CHALLENGE)), hostile.saying(hostile.answer(hostile.ACCEPTED))],
    ],
    ids=["silent", "silent later", "slow", "empty", "noise", "status 500", "no verdict", "another cycle's verdict"],
)
def test_a_verifier_that_is_slow_broken_or_hostile(
    behaviours: list[hostile.Behaviour], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "Client", partial(Client, timeout_s=0.2))
    with hostile.peer(hostile.in_turn(*behaviours)) as url:
        assert_verifier_refused(*run(url), url)


@pytest.mark.parametrize("url", ["", "verifier", "ftp://x", "http://example.org", "http://a@127.0.0.1", "http://[::"])
def test_what_is_not_a_url_of_a_verifier_is_one_line(url: str) -> None:
    assert_refused(command("run", "beacon", "--verifier", url))


def test_a_verifier_elsewhere_has_reference_values_of_its_own(tmp_path: Path) -> None:
    arguments = ("--verifier", "http://127.0.0.1:9", "--reference", tmp_path / "x")
    assert_refused(command("run", "beacon", *arguments), "--reference is for the built-in verifier")
    assert_refused(command("run", "beacon", "--verifier-ca", tmp_path / "x", "--verifier", "https://127.0.0.1:9"))
    assert_refused(command("run", "beacon", "--verifier-ca", tmp_path / "x"), "which --verifier names")
