"""Evidence: what one node has to show for one cycle, and the file that carries it."""

from dataclasses import dataclass, field

from enclave_sim.attestation.envelope import EnvelopeKey


@dataclass(frozen=True, slots=True)
class SignedQuote:
    """One TPM2_Quote, byte for byte as the TPM gave it."""

    attest: bytes  # TPMS_ATTEST: the inside of TPM2B_ATTEST, without its size
    signature: bytes  # TPMT_SIGNATURE
    public: bytes  # TPM2B_PUBLIC of the AK, size field included


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a node shows for one cycle. Nothing in here is believed before `verify` accepts it."""

    nonce: bytes  # the challenge's, 32 bytes
    cycle: int  # 0 to 2**32 - 1
    quotes: tuple[SignedQuote, ...]  # one for each AK
    event_log: bytes  # TCG crypto-agile log
    file: bytes = field(default=b"", compare=False, repr=False)  # the evidence file this was decoded from, or empty

    def encode(self, key: EnvelopeKey | None) -> bytes:
        """The evidence file: an EAT as CWT in COSE_Sign1, or without a key as unprotected claims (RFC 9781).

        Raises EvidenceError for what no evidence file can carry.
        """
        raise NotImplementedError

    @classmethod
    def decode(cls, data: bytes) -> "Evidence":
        """The evidence in a file. Raises EvidenceError for anything that `encode` would not have written."""
        raise NotImplementedError
