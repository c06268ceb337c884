"""Evidence: what one node submits for one cycle, and its file.

The file is an EAT (RFC 9711) in the profile of docs/attestation-evidence.md: a CWT in COSE_Sign1, or unprotected claims
(RFC 9781). There is only one encoding: `decode` extracts the fields from a file, encodes them again, and compares. So a
file contains no claim, header, tag or byte outside the profile.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from enclave_sim.attestation.errors import EvidenceError, shown
from enclave_sim.attestation.formats.quote import parse_quote
from enclave_sim.attestation.formats.reader import unsized
from enclave_sim.attestation.verdict import MAX_CYCLE, NONCE_SIZE

if TYPE_CHECKING:
    from enclave_sim.attestation.formats.envelope import EnvelopeKey

MAX_FILE_BYTES = 65536  # bytes
MAX_QUOTES = 4
PROFILE = "tag:enclave-sim.invalid,2026:attestation-evidence:1"
EAT_NONCE = 10
UEID = 256
EAT_PROFILE = 265
BOOT_COUNT = 267
MEASUREMENTS = 273
CYCLE = -70001
QUOTES = -70002
_OCTET_STREAM = 42  # CoAP Content-Format of an event log, for which none is defined
_UEID_RANDOM = b"\x01"
_SIGNED = bytes.fromhex("d8 3d d2")  # tags 61 (CWT) and 18 (COSE_Sign1)
_UNPROTECTED = bytes.fromhex("d9 0259")  # tag 601 (UCCS)


class SignedQuote(NamedTuple):
    """One TPM2_Quote, byte for byte as the TPM returned it."""

    attest: bytes
    """TPMS_ATTEST: the inside of TPM2B_ATTEST, without its size."""
    signature: bytes
    """TPMT_SIGNATURE."""
    public: bytes
    """TPM2B_PUBLIC of the AK, size field included."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of a node for one cycle. Do not trust any of it before `verify` accepts it."""

    nonce: bytes
    """The challenge's nonce, 32 bytes."""
    cycle: int
    """The cycle, 0 to 2**32 - 1."""
    quotes: tuple[SignedQuote, ...]
    """One for each AK, 1 to 4."""
    event_log: bytes
    """TCG crypto-agile event log."""
    file: bytes = field(default=b"", compare=False, repr=False)
    """The evidence file from which this was decoded, or empty."""

    def encode(self, key: "EnvelopeKey | None") -> bytes:
        """Encode the evidence as a file. The same evidence and key give the same bytes.

        Args:
            key: The node's key, which signs the file; None for an unsigned file.

        Returns:
            The file, at most 64 KiB.

        Raises:
            EvidenceError: A field is out of range, or the file would be too large.
        """
        import cbor2  # noqa: PLC0415 - only reading and writing files needs it

        from enclave_sim.attestation.formats.envelope import protected_header, signed_bytes  # noqa: PLC0415

        claims = cbor2.dumps(_claims(self), canonical=True)
        if key is None:
            data = _UNPROTECTED + claims
        else:
            protected = protected_header(key.public)
            data = _signed_file(protected, claims, key.sign(signed_bytes(protected, claims)))
        if len(data) > MAX_FILE_BYTES:
            raise EvidenceError(f"evidence file: it would have {len(data)} bytes; at most {MAX_FILE_BYTES} are allowed")
        return data

    @classmethod
    def decode(cls, data: bytes) -> "Evidence":
        """Decode an evidence file. `verify` checks the envelope's signature, not this.

        Args:
            data: The file.

        Returns:
            The evidence in it.

        Raises:
            EvidenceError: The file is not one that `encode` could have written.
        """
        import cbor2  # noqa: PLC0415 - only reading and writing files needs it

        from enclave_sim.attestation.formats.plain_cbor import load  # noqa: PLC0415

        opened = _open(data)
        evidence = _evidence(load(opened.claims, "claims"), data)
        claims = cbor2.dumps(_claims(evidence), canonical=True)
        if claims != opened.claims:
            right = "expected the deterministic encoding of exactly the claims of its profile"
            raise EvidenceError(f"evidence file: its claims are not written as they must be; {right}")
        return evidence


class _Opened(NamedTuple):
    claims: bytes
    protected: bytes
    signature: bytes


def check_file(evidence: Evidence) -> bytes | None:
    """Check the envelope of the evidence's file.

    Returns:
        The envelope key that signed it; None for an unsigned file.

    Raises:
        EvidenceError: The signature is wrong, or the file contains other evidence.
    """
    from enclave_sim.attestation.formats.envelope import check_envelope, public_of, signed_bytes  # noqa: PLC0415

    if Evidence.decode(evidence.file) != evidence:
        raise EvidenceError("the evidence is not the one in its file")
    opened = _open(evidence.file)
    if not opened.signature:
        return None
    public = public_of(opened.protected)
    check_envelope(public, signed_bytes(opened.protected, opened.claims), opened.signature)
    return public


def _claims(evidence: Evidence) -> dict[int, Any]:
    if len(evidence.nonce) != NONCE_SIZE:
        raise EvidenceError(f"evidence: the nonce has {len(evidence.nonce)} bytes; expected {NONCE_SIZE}")
    if not 0 <= evidence.cycle <= MAX_CYCLE:
        raise EvidenceError(f"evidence: the cycle is {shown(evidence.cycle)}; expected 0 to {MAX_CYCLE}")
    if not 1 <= len(evidence.quotes) <= MAX_QUOTES:
        raise EvidenceError(f"evidence: there are {len(evidence.quotes)} quotes; expected 1 to {MAX_QUOTES}")
    claims: dict[int, Any] = {
        EAT_NONCE: evidence.nonce,
        UEID: _UEID_RANDOM + sha256(unsized(evidence.quotes[0].public)).digest(),
        EAT_PROFILE: PROFILE,
        MEASUREMENTS: [[_OCTET_STREAM, evidence.event_log]],
        CYCLE: evidence.cycle,
        QUOTES: [[quote.attest, quote.signature, quote.public] for quote in evidence.quotes],
    }
    with suppress(EvidenceError):  # no claim for an unreadable quote; `verify` says what is wrong with it
        claims[BOOT_COUNT] = parse_quote(evidence.quotes[0].attest).clock_info.reset_count
    return claims


def _evidence(claims: Any, file: bytes) -> Evidence:
    if not isinstance(claims, dict):
        raise EvidenceError("evidence file: the claims are not a map; expected a CWT claims set")
    profile = claims.get(EAT_PROFILE)
    if profile != PROFILE:
        found = f"claim {EAT_PROFILE} (eat_profile) is {shown(profile)}"
        raise EvidenceError(f"evidence file: {found}; expected {PROFILE!r}")
    known = {EAT_NONCE, UEID, EAT_PROFILE, BOOT_COUNT, MEASUREMENTS, CYCLE, QUOTES}
    for claim in claims:
        if claim not in known:
            raise EvidenceError(f"evidence file: claim {shown(claim)} is not one of its profile")
    nonce, cycle, quotes = claims.get(EAT_NONCE), claims.get(CYCLE), claims.get(QUOTES)
    if type(nonce) is not bytes:
        raise EvidenceError(f"evidence file: claim {EAT_NONCE} (eat_nonce) must be {NONCE_SIZE} bytes")
    if type(cycle) is not int:
        raise EvidenceError(f"evidence file: claim {CYCLE} (cycle) must be an unsigned number")
    if not isinstance(quotes, list) or not all(_is_quote(quote) for quote in quotes):
        raise EvidenceError(f"evidence file: claim {QUOTES} (quotes) must be a list of [attest, signature, public]")
    match claims.get(MEASUREMENTS):
        case [[int(), bytes() as event_log]]:
            return Evidence(nonce, cycle, tuple(SignedQuote(*quote) for quote in quotes), event_log, file)
    raise EvidenceError(f"evidence file: claim {MEASUREMENTS} (measurements) must be [[{_OCTET_STREAM}, event log]]")


def _is_quote(quote: Any) -> bool:
    return isinstance(quote, list) and len(quote) == 3 and all(type(part) is bytes for part in quote)


def _open(data: bytes) -> _Opened:
    from enclave_sim.attestation.formats.envelope import SIGNATURE_SIZE, public_of  # noqa: PLC0415
    from enclave_sim.attestation.formats.plain_cbor import load  # noqa: PLC0415

    if len(data) > MAX_FILE_BYTES:
        raise EvidenceError(f"evidence file: it has {len(data)} bytes; at most {MAX_FILE_BYTES} are allowed")
    if data.startswith(_UNPROTECTED):
        return _Opened(data[len(_UNPROTECTED) :], b"", b"")
    if not data.startswith(_SIGNED):
        right = "expected the tags 61 and 18 (a CWT in COSE_Sign1), or 601 (unprotected claims)"
        raise EvidenceError(f"evidence file: it begins with {data[:4].hex() or 'nothing'}; {right}")
    match load(data[len(_SIGNED) :], "envelope"):
        case [bytes() as protected, {}, bytes() as claims, bytes() as signature]:
            public_of(protected)
            if len(signature) != SIGNATURE_SIZE:
                right = f"expected {SIGNATURE_SIZE}"
                raise EvidenceError(f"evidence file: the envelope's signature has {len(signature)} bytes; {right}")
            if _signed_file(protected, claims, signature) != data:
                right = "expected the deterministic encoding, an empty unprotected header, and nothing after it"
                raise EvidenceError(f"evidence file: the envelope is not written as it must be; {right}")
            return _Opened(claims, protected, signature)
    raise EvidenceError("evidence file: the envelope is not [protected header, {}, claims, signature]")


def _signed_file(protected: bytes, claims: bytes, signature: bytes) -> bytes:
    import cbor2  # noqa: PLC0415 - only reading and writing files needs it

    return _SIGNED + cbor2.dumps([protected, {}, claims, signature], canonical=True)
