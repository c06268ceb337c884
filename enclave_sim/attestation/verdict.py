"""Challenges and verdicts: a verifier's questions and answers."""

from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from enclave_sim.attestation.errors import shown
from enclave_sim.attestation.formats.algorithms import ECDSA_P256, ML_DSA_65
from enclave_sim.errors import ConfigurationError

NONCE_SIZE = 32
MAX_CYCLE = 2**32 - 1
_SIGNATURES = frozenset({ECDSA_P256, ML_DSA_65})


class Position(NamedTuple):
    """The position of a quote in its TPM's life, in the order of TPM 2.0 part 1, and of the cycle in its boot.

    A TPM Reset increments `reset_count` and sets `restart_count` to 0; a TPM Restart or Resume increments
    `restart_count`. Both begin a boot, so cycles may start over after them. `clock` continues through both, and only a
    disorderly shutdown, which makes the next start a TPM Reset, can set it back.
    """

    reset_count: int
    restart_count: int
    clock: int
    """Milliseconds."""
    cycle: int

    def is_later_than(self, other: "Position") -> bool:
        """Compare with another position.

        Args:
            other: The position of a quote of the same TPM.

        Returns:
            True if a quote at this position was made after one at the other. No position is later than itself.
        """
        boot, others = (self.reset_count, self.restart_count), (other.reset_count, other.restart_count)
        if self.reset_count == other.reset_count and self.clock < other.clock:
            return False
        return boot > others or (boot == others and self.cycle > other.cycle)

    def __str__(self) -> str:
        return f"{self.reset_count}:{self.restart_count}:{self.clock}:{self.cycle}"


@dataclass(frozen=True, slots=True)
class Challenge:
    """The question that a quote answers.

    Raises:
        ConfigurationError: No quote could answer it: the nonce or the cycle is out of range.
    """

    nonce: bytes
    """32 bytes, unique to this challenge."""
    cycle: int
    """The cycle about to begin, 0 to 2**32 - 1."""
    after: tuple[Position, ...] = ()
    """The last accepted positions of the AKs in the evidence, which must be later than each of them."""

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_SIZE:
            raise ConfigurationError(f"a challenge's nonce has {NONCE_SIZE} bytes, not {len(self.nonce)}")
        if not 0 <= self.cycle <= MAX_CYCLE:
            raise ConfigurationError(f"a challenge's cycle is 0 to {MAX_CYCLE}, not {shown(self.cycle)}")


@dataclass(frozen=True, slots=True)
class Policy:
    """The requirements of a verifier beyond the checks that it always makes.

    Raises:
        ConfigurationError: No signature, or an unknown one, is required.
    """

    signatures: frozenset[str] = frozenset({ECDSA_P256})
    """The algorithms for which a signature is required: `ECDSA_P256`, `ML_DSA_65` or both."""
    envelope: bool = False
    """An envelope key in the reference values must sign the file."""
    safe_clock: bool = False
    """Refuse a quote whose clock the TPM marks as possibly set back."""

    def __post_init__(self) -> None:
        if not self.signatures or not self.signatures <= _SIGNATURES:
            found = ", ".join(sorted(self.signatures)) or "none"
            raise ConfigurationError(f"a policy requires {ECDSA_P256}, {ML_DSA_65} or both, not {found}")


class Check(NamedTuple):
    """One check of a verdict. If an earlier failure prevented it, it has not passed, and the message says so."""

    name: str
    passed: bool
    message: str
    """One line: the finding, and what would be right."""


class CheckObject(TypedDict):
    """One check, as plain values."""

    name: str
    passed: bool
    message: str
    """One line: what was found, and what would be right."""


class VerdictObject(TypedDict):
    """A verdict on evidence, as plain values."""

    accepted: bool
    """Every check passed."""
    reset_count: int | None
    """TPM resets; null if the first quote cannot be read, like the next two."""
    restart_count: int | None
    """TPM restarts since the last reset."""
    clock: int | None
    """The TPM's clock, in milliseconds."""
    cycle: int | None
    """The cycle as the evidence states it; null if it cannot be read."""
    checks: list[CheckObject]
    """Always the same checks in the same order."""


class Verdict(NamedTuple):
    """All checks, always in the same order. The evidence is accepted if every one of them passed."""

    checks: tuple[Check, ...]
    position: Position | None
    """The position of the first quote; None if it cannot be read. It is proved only if the evidence is accepted."""
    cycle: int | None
    """The cycle stated by the evidence. It is proved only if the evidence is accepted."""

    @property
    def accepted(self) -> bool:
        """True if every check passed and there was at least one."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def to_json(self) -> VerdictObject:
        """Return the verdict as plain values.

        Returns:
            A JSON object: `accepted`, `reset_count`, `restart_count` and `clock`, which are None without a position,
            `cycle`, and `checks`, each with `name`, `passed` and `message`.
        """
        at = self.position
        return {
            "accepted": self.accepted,
            "reset_count": None if at is None else at.reset_count,
            "restart_count": None if at is None else at.restart_count,
            "clock": None if at is None else at.clock,
            "cycle": self.cycle,
            "checks": [{"name": check.name, "passed": check.passed, "message": check.message} for check in self.checks],
        }
