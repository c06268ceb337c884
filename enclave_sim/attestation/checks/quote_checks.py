"""The checks of one quote: made by a TPM, with a known key, over the right PCRs, for this challenge."""

from hashlib import sha256
from typing import NamedTuple

from enclave_sim.attestation.checks.checklist import Checklist
from enclave_sim.attestation.errors import EvidenceError
from enclave_sim.attestation.evidence import SignedQuote
from enclave_sim.attestation.formats.event_log import EventLog
from enclave_sim.attestation.formats.public_area import (
    AK_ATTRIBUTES,
    TPM_RH_OWNER,
    PublicArea,
    key_name,
    parse_public,
    qualified_name,
)
from enclave_sim.attestation.formats.quote import (
    QUOTED_PCRS,
    TPM_GENERATED,
    TPM_ST_ATTEST_QUOTE,
    PcrSelection,
    Quote,
    attest_head,
    parse_quote,
)
from enclave_sim.attestation.formats.signature import check_signature, parse_signature
from enclave_sim.attestation.reference_values import ReferenceValues
from enclave_sim.attestation.verdict import Challenge, Policy


class CheckedQuote(NamedTuple):
    """The parts of one quote that could be read."""

    quote: Quote | None
    area: PublicArea | None


class QuoteChecks(NamedTuple):
    """The values with which every quote of one piece of evidence is compared."""

    challenge: Challenge
    reference: ReferenceValues
    policy: Policy
    log: EventLog | None

    def check(self, checklist: Checklist, number: int, signed: SignedQuote) -> CheckedQuote:
        """Make all checks of quote `number`, counted from 1."""
        at = f"quote {number}"
        checklist.check(f"{at} magic", signed.attest, "", _magic)
        checklist.check(f"{at} type", signed.attest, "", _type)
        quote = checklist.read(f"{at} attest", signed.attest, "", parse_quote, "is a TPMS_ATTEST of a quote")
        area = checklist.read(f"{at} AK", signed.public, "", parse_public, "is the public area of an AK")
        checklist.check(f"{at} AK attributes", area, f"{at} AK", _attributes)
        name = None if area is None else key_name(signed.public)
        checklist.check(f"{at} AK known", name, f"{at} AK", self._known)
        checklist.check(f"{at} signature", area, f"{at} AK", lambda area: _signature(area, signed))
        both = None if quote is None or name is None else (quote, name)
        checklist.check(f"{at} qualified name", both, f"{at} {'attest' if quote is None else 'AK'}", _qualified)
        checklist.check(f"{at} PCR selection", quote, f"{at} attest", _selection)
        replayed = None if quote is None or self.log is None else (quote, self.log)
        needs = f"{at} attest" if quote is None else "event log"
        checklist.check(f"{at} PCR digest", replayed, needs, _pcr_digest)
        checklist.check(f"{at} extra data", quote, f"{at} attest", self._extra_data)
        checklist.check(f"{at} clock", quote, f"{at} attest", self._clock)
        return CheckedQuote(quote, area)

    def _known(self, name: bytes) -> str:
        if name.hex() not in self.reference.ak_names:
            raise EvidenceError(f"{name.hex()} is not the Name of one of the {len(self.reference.ak_names)} known AKs")
        return f"{name.hex()} is known"

    def _extra_data(self, quote: Quote) -> str:
        right = self.challenge.nonce + self.challenge.cycle.to_bytes(4, "big")
        if quote.extra_data != right:
            found = quote.extra_data.hex() or "nothing"
            raise EvidenceError(f"the TPM was given {found} to sign; expected the challenge's nonce and cycle")
        return "the challenge's nonce and cycle"

    def _clock(self, quote: Quote) -> str:
        if quote.clock_info.safe:
            return "is safe"
        if self.policy.safe_clock:
            raise EvidenceError("the TPM marks its clock as possibly set back, and the policy asks for a safe one")
        return "is marked by the TPM as possibly set back; reset count and cycle do not depend on it"


def _magic(attest: bytes) -> str:
    magic, _ = attest_head(attest)
    if magic != TPM_GENERATED.to_bytes(4, "big"):
        found = magic.hex() or "nothing"
        raise EvidenceError(f"is {found}, so no TPM has made this; expected {TPM_GENERATED:08x} (TPM_GENERATED_VALUE)")
    return "TPM_GENERATED_VALUE"


def _type(attest: bytes) -> str:
    _, kind = attest_head(attest)
    if kind != TPM_ST_ATTEST_QUOTE.to_bytes(2, "big"):
        found = kind.hex() or "nothing"
        raise EvidenceError(f"is {found}; expected {TPM_ST_ATTEST_QUOTE:04x} (TPM_ST_ATTEST_QUOTE)")
    return "TPM_ST_ATTEST_QUOTE"


def _attributes(area: PublicArea) -> str:
    if area.attributes != AK_ATTRIBUTES:
        right = f"expected 0x{AK_ATTRIBUTES:08x}: a restricted signing key that never left its TPM"
        raise EvidenceError(f"are 0x{area.attributes:08x}; {right}")
    if area.policy:
        raise EvidenceError("the key has an authorization policy; expected an empty one")
    return "a restricted signing key that never left its TPM"


def _signature(area: PublicArea, signed: SignedQuote) -> str:
    check_signature(area, parse_signature(signed.signature), signed.attest)
    return f"{area.algorithm}, by this AK over this attest"


def _qualified(subject: tuple[Quote, bytes]) -> str:
    quote, name = subject
    if quote.qualified_signer != qualified_name(name):
        owner = quote.qualified_signer == qualified_name(name, TPM_RH_OWNER)
        found = "is that of this AK in the owner hierarchy" if owner else "is that of another key"
        raise EvidenceError(f"{found}; expected that of this AK as a primary key of the endorsement hierarchy")
    return "this AK, a primary key of the endorsement hierarchy"


def _selection(quote: Quote) -> str:
    if quote.selections != (PcrSelection.of(QUOTED_PCRS),):
        found = "; ".join(f"0x{one.hash_algorithm:04x}: {list(one.pcrs)}" for one in quote.selections) or "nothing"
        raise EvidenceError(f"is {found}; expected 0x000b (SHA-256): {list(QUOTED_PCRS)} and nothing else")
    return "SHA-256, PCRs 8 to 13"


def _pcr_digest(subject: tuple[Quote, EventLog]) -> str:
    quote, log = subject
    if quote.pcr_digest != sha256(log.pcr_values(QUOTED_PCRS)).digest():
        raise EvidenceError("is not that of the replayed event log: the log is not what this TPM has measured")
    return "is that of the replayed event log"
