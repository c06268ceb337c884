"""What a verifier asks and what it answers."""

from dataclasses import dataclass

from enclave_sim.attestation.errors import shown
from enclave_sim.attestation.formats.algorithms import ECDSA_P256, ML_DSA_65
from enclave_sim.errors import ConfigurationError

NONCE_SIZE = 32
MOST_CYCLE = 2**32 - 1
_SIGNATURES = frozenset({ECDSA_P256, ML_DSA_65})


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a quote has to answer to. Raises ConfigurationError for a nonce or cycle that no quote could answer."""

    nonce: bytes  # 32 bytes that no other challenge has had
    cycle: int  # the cycle that is to be entered, 0 to 2**32 - 1
    after: tuple[int, int] | None = None  # (reset count, cycle) last accepted for this AK: the quote must be later

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_SIZE:
            raise ConfigurationError(f"a challenge's nonce has {NONCE_SIZE} bytes, not {len(self.nonce)}")
        if not 0 <= self.cycle <= MOST_CYCLE:
            raise ConfigurationError(f"a challenge's cycle is 0 to {MOST_CYCLE}, not {shown(self.cycle)}")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a verifier demands beyond the checks that are always made. Raises ConfigurationError for no signature."""

    signatures: frozenset[str] = frozenset(
        {ECDSA_P256}
    )  # each must be there: of ECDSA_P256 and ML_DSA_65, at least one
    envelope: bool = False  # the file must be signed by an envelope key that the reference values name
    safe_clock: bool = False  # refuse a quote whose clock the TPM marks as possibly set back

    def __post_init__(self) -> None:
        if not self.signatures or not self.signatures <= _SIGNATURES:
            found = ", ".join(sorted(self.signatures)) or "none"
            raise ConfigurationError(f"a policy requires {ECDSA_P256}, {ML_DSA_65} or both, not {found}")


@dataclass(frozen=True, slots=True)
class Check:
    """One check. A check that could not be made because an earlier one failed has not passed, and says so."""

    name: str
    passed: bool
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks, always in the same order. Accepted means that every one of them passed."""

    checks: tuple[Check, ...]
    reset_count: int | None  # of the first quote; None where it cannot be read. Proved by the quote only if accepted
    cycle: int | None  # as the evidence says. Proved by the quote only if accepted

    @property
    def accepted(self) -> bool:
        """Whether every check passed (and there was at least one)."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def to_json(self) -> dict[str, object]:
        """The verdict as plain values, for a JSON encoder."""
        return {
            "accepted": self.accepted,
            "reset_count": self.reset_count,
            "cycle": self.cycle,
            "checks": [{"name": check.name, "passed": check.passed, "message": check.message} for check in self.checks],
        }
