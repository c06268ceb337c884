"""The constants of the protocol and the JSON that both sides exchange. docs/verifier-service.md explains it."""

import re
from typing import Annotated

import msgspec

EVIDENCE_TYPE = "application/eat+cwt"
JSON_TYPE = "application/json"
NONCE_BYTES = 32
NAME_BYTES = 34  # of a key: nameAlg and a SHA-256 digest
MAX_CYCLE = 2**32 - 1
MAX_EVIDENCE_BYTES = 64 * 1024
MAX_REQUEST_BYTES = 4 * 1024  # of a request for a challenge
MAX_ANSWER_BYTES = 1024 * 1024
CHALLENGE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)

Cycle = Annotated[int, msgspec.Meta(ge=0, le=MAX_CYCLE)]


class ChallengeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for a nonce for one cycle."""

    cycle: Cycle
    ak: Annotated[str, msgspec.Meta(pattern=f"^[0-9a-fA-F]{{{2 * NAME_BYTES}}}\\Z")] | None = None
    """Name of AK 1 in hex; that key must then sign the evidence."""


class ChallengeAnswer(msgspec.Struct, frozen=True):
    """A nonce, valid for one submission of evidence within its lifetime."""

    challenge: Annotated[str, msgspec.Meta(pattern=f"^{CHALLENGE_ID.pattern}\\Z")]
    nonce: Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{{2 * NONCE_BYTES}}}\\Z")]
    expires_in_s: Annotated[float, msgspec.Meta(gt=0)]


class CheckAnswer(msgspec.Struct, frozen=True):
    """One check of a verdict."""

    name: str
    passed: bool
    message: str


class VerdictAnswer(msgspec.Struct, frozen=True):
    """The part of a verdict that a node reads."""

    challenge: str
    accepted: bool
    cycle: int | None
    checks: list[CheckAnswer]


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The reason why a request was refused or failed."""

    error: str
    message: str
