"""The verifier from a node's view: request a nonce, submit evidence, get a verdict.

Evidence is accepted only by a verdict that conforms to the protocol, for the requested challenge. Anything else,
including a missing answer, is a refusal with its own message.
"""

import ipaddress
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from math import isfinite
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from enclave_sim.attestation import Check
from enclave_sim.attestation.service.errors import VerifierUnavailable
from enclave_sim.attestation.service.exchange import Answer, Post, exchange, shown
from enclave_sim.attestation.service.protocol import (
    EVIDENCE_TYPE,
    JSON_TYPE,
    ChallengeAnswer,
    ErrorAnswer,
    VerdictAnswer,
)
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import SMALL, read_file
from enclave_sim.reasons import reason

_Decoded = TypeVar("_Decoded")


@dataclass(frozen=True, slots=True)
class RemoteVerdict:
    """The result of submitting evidence. Only a well-formed accepting verdict makes it accepted."""

    accepted: bool
    message: str
    """One line."""
    checks: tuple[Check, ...] = ()
    """The verifier's checks, if it gave a verdict."""
    challenge: str | None = None
    """The id under which the verifier keeps the verdict."""


class RemoteVerifier:
    """A verifier at a URL."""

    def __init__(
        self, url: str, timeout_s: float = 5.0, ca_file: Path | None = None, *, allow_insecure: bool = False
    ) -> None:
        """Prepare requests to a verifier. Nothing is sent yet.

        Args:
            url: The verifier's URL. Plain http is only for loopback addresses, unless `allow_insecure`.
            timeout_s: Seconds for each complete exchange.
            ca_file: The certificate authorities (PEM) of an https URL; by default the system's.
            allow_insecure: Allow plain http for all addresses.

        Raises:
            ConfigurationError: An argument is out of range, or the file cannot be read.
        """
        if not (isfinite(timeout_s) and timeout_s > 0):
            raise ConfigurationError(f"timeout_s must be more than 0 seconds, not {timeout_s}")
        self.url = _checked_url(url, allow_insecure=allow_insecure)
        self.timeout_s = timeout_s
        self._tls = _tls(self.url, ca_file)
        self._open: tuple[int, str] | None = None  # cycle and id of the open challenge

    def challenge(self, cycle: int, ak_name: bytes | None) -> bytes:
        """Request the nonce (32 bytes) for a cycle, and for a key if its Name is given. Raises VerifierUnavailable."""
        self._open = None
        body = msgspec.json.encode({"cycle": cycle, "ak": None if ak_name is None else ak_name.hex()})
        answer = self._post("/challenge", JSON_TYPE, body)
        challenge = self._decode(answer, ChallengeAnswer, "challenge")
        self._open = cycle, challenge.challenge
        return bytes.fromhex(challenge.nonce)

    def judge(self, cycle: int, evidence_file: bytes) -> RemoteVerdict:
        """Submit evidence for the latest challenge, and use it up. Raises no exception, whatever the answer."""
        opened, self._open = self._open, None
        if opened is None or opened[0] != cycle:
            return RemoteVerdict(accepted=False, message=f"no challenge for cycle {cycle} is open; ask for one first")
        challenge_id = opened[1]
        try:
            answer = self._post(f"/evidence?challenge={challenge_id}", EVIDENCE_TYPE, evidence_file)
            verdict = self._decode(answer, VerdictAnswer, "verdict")
            self._check(verdict, cycle, challenge_id)
        except VerifierUnavailable as error:
            return RemoteVerdict(accepted=False, message=str(error), challenge=challenge_id)
        checks = tuple(Check(each.name, each.passed, each.message) for each in verdict.checks)
        return RemoteVerdict(verdict.accepted, _summary(verdict), checks, challenge_id)

    def _post(self, path: str, content_type: str, body: bytes) -> Answer:
        return exchange(Post(self.url + path, content_type, body, self.timeout_s, self._tls))

    def _decode(self, answer: Answer, kind: type[_Decoded], what: str) -> _Decoded:
        """Decode the body of an answer with status 200. Raises VerifierUnavailable for any other answer."""
        if answer.status != HTTPStatus.OK:
            raise VerifierUnavailable(f"{self.url}: {_refusal(answer)}")
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise VerifierUnavailable(f"{self.url}: the answer is not a {what}: {shown(reason(error))}") from None

    def _check(self, verdict: VerdictAnswer, cycle: int, challenge_id: str) -> None:
        if verdict.challenge != challenge_id:
            raise VerifierUnavailable(f"{self.url}: the verdict is for another challenge: {shown(verdict.challenge)}")
        if verdict.accepted and verdict.cycle != cycle:
            raise VerifierUnavailable(f"{self.url}: the verdict is for cycle {verdict.cycle}, not {cycle}")
        if verdict.accepted != (bool(verdict.checks) and all(each.passed for each in verdict.checks)):
            raise VerifierUnavailable(f"{self.url}: the verdict contradicts its own checks")


def _summary(verdict: VerdictAnswer) -> str:
    if verdict.accepted:
        return f"accepted: {len(verdict.checks)} checks passed"
    first, *others = (each for each in verdict.checks if not each.passed)
    more = f" (and {len(others)} more)" if others else ""
    return f"{shown(first.name)}: {shown(first.message)}{more}"


def _refusal(answer: Answer) -> str:
    try:
        error = msgspec.json.decode(answer.body, type=ErrorAnswer)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return f"the answer has status {answer.status}"
    return f"refused with status {answer.status}, {shown(error.error)}: {shown(error.message)}"


def _checked_url(url: str, *, allow_insecure: bool) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigurationError(f"{url} is not the URL of a verifier, such as https://verifier.example:8040")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(f"{url}: the URL of a verifier has no user, no query and no fragment")
    if parts.scheme == "http" and not allow_insecure and not _is_loopback(host):
        raise ConfigurationError(
            f"{url}: plain http is only for loopback addresses, because anyone on the network could answer; use https"
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(url: str, ca_file: Path | None) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        if ca_file is not None:
            raise ConfigurationError(f"{url}: certificate authorities are for https URLs")
        return None
    try:
        if ca_file is None:
            return ssl.create_default_context()
        pem = read_file(ca_file, SMALL).decode("ascii", "ignore")  # any text may be between certificates
        return ssl.create_default_context(cadata=pem or "nothing")  # an empty text would mean those of the host
    except ssl.SSLError:
        raise ConfigurationError(f"{ca_file} has no certificates in PEM format") from None
