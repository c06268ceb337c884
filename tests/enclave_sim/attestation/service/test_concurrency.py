"""Many at once: a challenge is judged once, and a position accepted once, whatever races for it."""

import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from enclave_sim.attestation.service.errors import RequestRefused
from enclave_sim.attestation.service.server import _bound, serving
from enclave_sim.attestation.service.verifier import Verifier
from tests.enclave_sim.attestation.service.node import OTHER_KEYS, Node
from tests.enclave_sim.attestation.service.rig import EVIDENCE, Rig
from tests.enclave_sim.attestation.service.threads import at_once

pytestmark = pytest.mark.slow

NODE = Node()
RACERS = 8


@pytest.fixture(params=["memory", "file"])
def raced(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(path=None if request.param == "memory" else tmp_path / "verifier.sqlite")
    yield rig
    rig.database.close()


def submitting(client: httpx.Client, challenge: str, evidence: bytes) -> Callable[[], tuple[int, dict[str, Any]]]:
    def submit() -> tuple[int, dict[str, Any]]:
        answer = client.post(f"/evidence?challenge={challenge}", content=evidence, headers=EVIDENCE)
        return answer.status_code, answer.json()

    return submit


def failures(content: dict[str, Any]) -> list[str]:
    return [check["name"] for check in content["checks"] if not check["passed"]]


def test_of_many_submissions_for_a_challenge_one_is_judged(raced: Rig) -> None:
    with serving(raced.verifier) as url, httpx.Client(base_url=url, trust_env=False, timeout=300) as client:
        for cycle in range(3):
            challenge = raced.verifier.issue(cycle, None)
            task = submitting(client, challenge.id, NODE.evidence(challenge.nonce, cycle))
            results = at_once([task] * RACERS)
            assert sorted(status for status, _ in results) == [200] + [409] * (RACERS - 1)
            (verdict,) = (content for status, content in results if status == 200)
            assert verdict["accepted"] is True
            assert {content["error"] for status, content in results if status == 409} == {"challenge_used"}


def test_of_many_challenges_for_a_cycle_one_is_accepted(raced: Rig) -> None:
    with serving(raced.verifier) as url, httpx.Client(base_url=url, trust_env=False, timeout=300) as client:
        challenges = [raced.verifier.issue(4, NODE.ak_name) for _ in range(RACERS)]
        tasks = [submitting(client, each.id, NODE.evidence(each.nonce, 4)) for each in challenges]
        results = at_once(tasks)
    assert [status for status, _ in results] == [200] * RACERS
    outcomes = sorted(failures(content) for _, content in results)
    assert outcomes == [[]] + [["freshness"]] * (RACERS - 1)
    assert len(raced.request("GET", "/verdicts").content["verdicts"]) == RACERS


def test_challenges_given_out_at_once_are_all_good(raced: Rig) -> None:
    with serving(raced.verifier) as url, httpx.Client(base_url=url, trust_env=False, timeout=300) as client:

        def ask() -> dict[str, Any]:
            content: dict[str, Any] = client.post("/challenge", json={"cycle": 0}).json()
            return content

        given = at_once([ask] * RACERS)
        assert len({each["nonce"] for each in given}) == RACERS
        evidence = NODE.evidence(bytes.fromhex(given[-1]["nonce"]))
        status, content = submitting(client, given[-1]["challenge"], evidence)()
    assert (status, failures(content)) == (200, [])


def test_two_nodes_do_not_hinder_each_other(raced: Rig) -> None:
    nodes = [NODE, Node(keys=OTHER_KEYS)]
    with serving(raced.verifier) as url, httpx.Client(base_url=url, trust_env=False, timeout=300) as client:

        def live(node: Node) -> list[bool]:
            accepted = []
            for cycle in range(10):
                challenge = raced.verifier.issue(cycle, node.ak_name)
                _, content = submitting(client, challenge.id, node.evidence(challenge.nonce, cycle))()
                accepted.append(content["accepted"])
            return accepted

        results = at_once([partial(live, node) for node in nodes])
    assert results == [[True] * 10, [True] * 10]


def test_answers_are_not_held_back_for_acknowledgements() -> None:
    """Head and body are sent separately; if a connection waits for the acknowledgement of the first, 40 ms pass
    between."""
    with _bound("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = socket.socket.accept(listener)
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    "request_head",
    [
        b"",
        b"POST /evi",
        b"POST /evidence?challenge=00 HTTP/1.1\r\nhost: x\r\ncontent-type: application/eat+cwt\r\n"
        b"content-length: 900\r\n\r\nabc",
    ],
    ids=["nothing", "a cut head", "a cut body"],
)
def test_clients_that_stall_or_leave_hold_up_nobody(
    rig: Rig, caplog: pytest.LogCaptureFixture, request_head: bytes
) -> None:
    with serving(rig.verifier) as url, httpx.Client(base_url=url, trust_env=False, timeout=300) as client:
        address = ("127.0.0.1", httpx.URL(url).port or 0)
        stalled = [socket.create_connection(address) for _ in range(20)]
        for connection in stalled:
            connection.sendall(request_head)
        assert client.get("/health").json() == {"status": "ok"}
        for connection in stalled:
            connection.close()
        assert client.get("/health").json() == {"status": "ok"}
    assert caplog.records == []


def outcome(verifier: Verifier, challenge_id: str, evidence: bytes) -> str:
    try:
        return "accepted" if '"accepted": true' in verifier.judge(challenge_id, evidence) else "refused"
    except RequestRefused as refusal:
        return refusal.error


def test_two_services_on_one_file_accept_a_challenge_once(tmp_path: Path) -> None:
    rigs = [Rig(path=tmp_path / "verifier.sqlite") for _ in range(2)]
    for cycle in range(10):
        challenge = rigs[0].verifier.issue(cycle, None)
        evidence = NODE.evidence(challenge.nonce, cycle)

        results = at_once([partial(outcome, rig.verifier, challenge.id, evidence) for rig in rigs * 2])
        assert sorted(results) == ["accepted"] + ["challenge_used"] * 3
    for rig in rigs:
        rig.database.close()
