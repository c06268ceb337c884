"""Verifiers for tests, with a clock under the test's control, and access without a socket."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import msgspec

from enclave_sim.attestation import Policy
from enclave_sim.attestation.service.application import application
from enclave_sim.attestation.service.database import Database
from enclave_sim.attestation.service.protocol import EVIDENCE_TYPE
from enclave_sim.attestation.service.verifier import Verifier
from tests.enclave_sim.attestation.service.node import reference_values

LIFETIME_NS = 60 * 10**9
JSON = {"content-type": "application/json"}
EVIDENCE = {"content-type": EVIDENCE_TYPE}


@dataclass
class Clock:
    now_ns: int = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        return self.now_ns


@dataclass(frozen=True)
class Answer:
    status: int
    content: dict[str, Any]
    headers: httpx.Headers

    @property
    def error(self) -> tuple[int, str]:
        """The status and code of an error, which must have a one-line message."""
        assert set(self.content) == {"error", "message"}
        assert self.content["message"]
        assert "\n" not in self.content["message"]
        return self.status, self.content["error"]


class Rig:
    """A verifier, its clock, and its HTTP application."""

    def __init__(self, policy: Policy | None = None, path: Path | None = None) -> None:
        self.clock = Clock()
        self.database = Database(path)
        self.verifier = Verifier(
            self.database, reference_values(), policy or Policy(), nonce_lifetime_ns=LIFETIME_NS, now_ns=self.clock
        )
        self._application = application(self.verifier)

    def judge_with(self, **changes: Any) -> None:
        self.verifier = replace(self.verifier, **changes)
        self._application = application(self.verifier)

    def request(self, method: str, path: str, body: Any = b"", headers: dict[str, str] | None = None) -> Answer:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._application, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://verifier") as client:
                return await client.request(method, path, content=body, headers=headers)

        response = asyncio.run(send())
        assert response.headers["content-type"] == "application/json"
        content = msgspec.json.decode(response.content)
        assert isinstance(content, dict)
        return Answer(response.status_code, content, response.headers)

    def post_challenge(self, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        return self.request("POST", "/challenge", body, JSON if headers is None else headers)

    def challenge(self, cycle: int = 0, ak: bytes | None = None) -> tuple[str, bytes]:
        """Id and nonce of a new challenge."""
        body = msgspec.json.encode({"cycle": cycle, "ak": None if ak is None else ak.hex()})
        answer = self.post_challenge(body)
        assert answer.status == 200
        return answer.content["challenge"], bytes.fromhex(answer.content["nonce"])

    def submit(self, challenge: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        return self.request("POST", f"/evidence?challenge={challenge}", body, EVIDENCE if headers is None else headers)

    def failures(self, answer: Answer) -> list[str]:
        """The names of the failed checks of a verdict."""
        assert answer.status == 200
        failed = [check["name"] for check in answer.content["checks"] if not check["passed"]]
        assert answer.content["accepted"] == (not failed)
        return failed
