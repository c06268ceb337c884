"""The verifier itself, without HTTP: it issues challenges and judges evidence, each challenge once.

One transaction uses the challenge, judges the evidence against the last accepted positions of its keys, stores the
verdict, and advances these positions. So if two submissions race for one challenge, or two challenges for one quote,
only one can be accepted.
"""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus

from enclave_sim.attestation import (
    Challenge,
    Check,
    Evidence,
    EvidenceError,
    Policy,
    ReferenceValues,
    Verdict,
    key_name,
    verify,
)
from enclave_sim.attestation.service.database import Database, StoredChallenge
from enclave_sim.attestation.service.errors import RequestRefused
from enclave_sim.attestation.service.protocol import CHALLENGE_ID, NONCE_BYTES

DEFAULT_LIFETIME_NS = 60 * 10**9


@dataclass(frozen=True, slots=True)
class Verifier:
    """A verifier: accepted values, policy and memory. Thread-safe."""

    database: Database
    reference: ReferenceValues
    policy: Policy = field(default_factory=Policy)
    nonce_lifetime_ns: int = DEFAULT_LIFETIME_NS  # at least 1
    now_ns: Callable[[], int] = time.time_ns
    """The time in ns since 1970. Like the database, it must persist across restarts."""

    def issue(self, cycle: int, ak_name: bytes | None) -> StoredChallenge:
        """Issue a challenge for a cycle, and for one key if its Name is given."""
        now = self.now_ns()
        challenge = StoredChallenge(
            id=secrets.token_hex(16),
            nonce=secrets.token_bytes(NONCE_BYTES),
            cycle=cycle,
            ak=ak_name,
            issued_ns=now,
            expires_ns=now + self.nonce_lifetime_ns,
        )
        with self.database.transaction():
            # Kept one lifetime longer than needed, so that a late submission gets a precise error.
            self.database.drop_challenges(expired_before_ns=now - self.nonce_lifetime_ns)
            self.database.add_challenge(challenge)
        return challenge

    def judge(self, challenge_id: str, evidence_file: bytes) -> str:
        """Judge an evidence file as the answer to a challenge.

        Raises RequestRefused if there is nothing to judge: the challenge is unknown, used or expired.

        Returns:
            The verdict, as JSON.
        """
        try:
            evidence: Evidence | EvidenceError = Evidence.decode(evidence_file)
        except EvidenceError as error:
            evidence = error
        with self.database.transaction():
            challenge = self._claim(challenge_id)
            names = () if isinstance(evidence, EvidenceError) else _names(evidence)
            if isinstance(evidence, EvidenceError):
                verdict = Verdict((Check("evidence file", passed=False, message=str(evidence)),), None, None)
            else:
                verdict = self._verify(evidence, challenge, names)
            if verdict.accepted:
                assert verdict.position is not None  # freshness has passed
                self.database.set_last_accepted(names, verdict.position)
            text = self._to_json(challenge, names, verdict)
            self.database.add_verdict(challenge.id, text, accepted=verdict.accepted)
        return text

    def verdict(self, challenge_id: str) -> str:
        """Return the verdict on the evidence for a challenge, as JSON. Raises RequestRefused if there is none."""
        with self.database.transaction():
            text = self.database.verdict(challenge_id) if CHALLENGE_ID.fullmatch(challenge_id) else None
        if text is None:
            raise RequestRefused(HTTPStatus.NOT_FOUND, "verdict_unknown", "there is no verdict for this challenge")
        return text

    def newest_verdicts(self, limit: int, *, accepted: bool | None = None) -> list[str]:
        """Return the last verdicts, newest first, each as JSON: all, or those that accept, or those that refuse."""
        with self.database.transaction():
            return self.database.newest_verdicts(limit, accepted=accepted)

    def _claim(self, challenge_id: str) -> StoredChallenge:
        challenge = self.database.challenge(challenge_id) if CHALLENGE_ID.fullmatch(challenge_id) else None
        if challenge is None:
            raise RequestRefused(
                HTTPStatus.NOT_FOUND, "challenge_unknown", "this challenge is unknown; ask for one at POST /challenge"
            )
        if challenge.used:
            raise RequestRefused(
                HTTPStatus.CONFLICT,
                "challenge_used",
                "evidence for this challenge was submitted already; ask for another",
            )
        # Setting back the clock must not extend a nonce's lifetime.
        if not challenge.issued_ns <= self.now_ns() < challenge.expires_ns:
            raise RequestRefused(
                HTTPStatus.GONE,
                "challenge_expired",
                "the time to answer this challenge is over; ask for another",
            )
        self.database.use_challenge(challenge_id)
        return challenge

    def _verify(self, evidence: Evidence, challenge: StoredChallenge, names: tuple[bytes, ...]) -> Verdict:
        after = self.database.last_accepted(names)
        verdict = verify(evidence, Challenge(challenge.nonce, challenge.cycle, after), self.reference, self.policy)
        if challenge.ak is None:
            return verdict
        passed = names[:1] == (challenge.ak,)
        message = (
            "the first quote is signed by the key that asked for the challenge"
            if passed
            else f"the challenge was given to key {challenge.ak.hex()}, the first quote is of another key"
        )
        return Verdict((*verdict.checks, Check("challenged key", passed, message)), verdict.position, verdict.cycle)

    def _to_json(self, challenge: StoredChallenge, names: tuple[bytes, ...], verdict: Verdict) -> str:
        judged_at = datetime.fromtimestamp(self.now_ns() / 1e9, UTC).isoformat(timespec="milliseconds")
        return json.dumps(
            {
                "challenge": challenge.id,
                "judged_at": judged_at,
                "ak": names[0].hex() if names else None,
                **verdict.to_json(),
            }
        )


def _names(evidence: Evidence) -> tuple[bytes, ...]:
    """Return the Names of the keys in the quotes; none if a key has no Name, which `verify` refuses."""
    names = []
    for quote in evidence.quotes:
        try:
            names.append(key_name(quote.public))
        except EvidenceError:
            return ()
    return tuple(names)
