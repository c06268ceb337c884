"""TPMS_ATTEST of a quote (TPM 2.0 library part 2, 10.12), and the structures in it."""

from typing import NamedTuple

from enclave_sim.attestation.formats.algorithms import TPM_ALG_SHA256
from enclave_sim.attestation.formats.reader import Reader, sized

TPM_GENERATED = 0xFF544347
TPM_ST_ATTEST_QUOTE = 0x8018
QUOTED_PCRS = tuple(range(8, 14))
_NAME_SIZE = 34  # nameAlg and a SHA-256 digest
_MAX_SELECTIONS = 16
_MAX_EXTRA_DATA_BYTES = 66  # TPM2B_DATA: a TPMT_HA of the largest hash


class ClockInfo(NamedTuple):
    """TPMS_CLOCK_INFO."""

    clock: int  # ms of powered time of the TPM
    reset_count: int  # resets since the TPM was last cleared
    restart_count: int
    safe: bool  # no greater value of the clock has been reported before

    def encode(self) -> bytes:
        """Encode like the TPM, in 17 bytes."""
        counts = self.reset_count.to_bytes(4, "big") + self.restart_count.to_bytes(4, "big")
        return self.clock.to_bytes(8, "big") + counts + bytes([self.safe])


class PcrSelection(NamedTuple):
    """TPMS_PCR_SELECTION: PCRs of one bank."""

    hash_algorithm: int
    bitmap: bytes  # bit n % 8 of byte n // 8 selects PCR n

    @classmethod
    def of(cls, pcrs: tuple[int, ...], hash_algorithm: int = TPM_ALG_SHA256) -> "PcrSelection":
        """Select PCRs 0 to 23 of one bank."""
        return cls(hash_algorithm, sum(1 << pcr for pcr in set(pcrs)).to_bytes(3, "little"))

    @property
    def pcrs(self) -> tuple[int, ...]:
        """The selected PCRs, in ascending order."""
        return tuple(n for n in range(8 * len(self.bitmap)) if self.bitmap[n // 8] >> n % 8 & 1)


class Quote(NamedTuple):
    """TPMS_ATTEST with magic TPM_GENERATED_VALUE and type TPM_ST_ATTEST_QUOTE."""

    qualified_signer: bytes
    extra_data: bytes
    clock_info: ClockInfo
    firmware_version: int
    selections: tuple[PcrSelection, ...]
    pcr_digest: bytes  # SHA-256 of the concatenated values of the selected PCRs

    def encode(self) -> bytes:
        """Encode like the TPM, without the size field of a TPM2B_ATTEST."""
        return b"".join(
            (
                TPM_GENERATED.to_bytes(4, "big"),
                TPM_ST_ATTEST_QUOTE.to_bytes(2, "big"),
                sized(self.qualified_signer),
                sized(self.extra_data),
                self.clock_info.encode(),
                self.firmware_version.to_bytes(8, "big"),
                encode_selections(self.selections),
                sized(self.pcr_digest),
            )
        )


def attest_head(data: bytes) -> tuple[bytes, bytes]:
    """Return magic and type of a TPMS_ATTEST, or as many of these bytes as exist."""
    return data[:4], data[4:6]


def parse_quote(data: bytes) -> Quote:
    """Decode a quote. Raises EvidenceError for anything else, another magic or type, or trailing bytes."""
    reader = Reader("TPMS_ATTEST", data)
    reader.expect(4, TPM_GENERATED, "magic", "TPM_GENERATED_VALUE")
    reader.expect(2, TPM_ST_ATTEST_QUOTE, "type", "TPM_ST_ATTEST_QUOTE")
    qualified_signer = reader.sized("qualifiedSigner", _NAME_SIZE, _NAME_SIZE)
    extra_data = reader.sized("extraData", 0, _MAX_EXTRA_DATA_BYTES)
    clock_info = _clock_info(reader)
    firmware_version = reader.number(8, "firmwareVersion")
    selections = _selections(reader)
    pcr_digest = reader.sized("pcrDigest", 32, 32)
    reader.end()
    return Quote(qualified_signer, extra_data, clock_info, firmware_version, selections, pcr_digest)


def encode_selections(selections: tuple[PcrSelection, ...]) -> bytes:
    """Encode a TPML_PCR_SELECTION."""
    parts = [len(selections).to_bytes(4, "big")]
    for selection in selections:
        parts += (selection.hash_algorithm.to_bytes(2, "big"), bytes([len(selection.bitmap)]), selection.bitmap)
    return b"".join(parts)


def _clock_info(reader: Reader) -> ClockInfo:
    clock = reader.number(8, "clockInfo.clock")
    reset_count = reader.number(4, "clockInfo.resetCount")
    restart_count = reader.number(4, "clockInfo.restartCount")
    offset = reader.offset
    safe = reader.number(1, "clockInfo.safe")
    if safe > 1:
        raise reader.error("clockInfo.safe", offset, f"is 0x{safe:02x}", "expected 0 (NO) or 1 (YES)")
    return ClockInfo(clock, reset_count, restart_count, bool(safe))


def _selections(reader: Reader) -> tuple[PcrSelection, ...]:
    offset = reader.offset
    count = reader.number(4, "pcrSelect.count")
    if count > _MAX_SELECTIONS:
        raise reader.error("pcrSelect.count", offset, f"is {count}", f"a TPM has at most {_MAX_SELECTIONS} banks")
    selections = []
    for index in range(count):
        algorithm = reader.number(2, f"pcrSelect[{index}].hash")
        offset = reader.offset
        size = reader.number(1, f"pcrSelect[{index}].sizeofSelect")
        if not 1 <= size <= 4:
            raise reader.error(f"pcrSelect[{index}].sizeofSelect", offset, f"is {size}", "expected 1 to 4")
        selections.append(PcrSelection(algorithm, reader.take(size, f"pcrSelect[{index}].pcrSelect")))
    return tuple(selections)
