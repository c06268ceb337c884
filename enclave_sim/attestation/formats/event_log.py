"""The TCG crypto-agile event log (TCG PC Client Platform Firmware Profile, section 10), little-endian."""

from hashlib import sha256
from typing import NamedTuple

from enclave_sim.attestation.errors import EvidenceError
from enclave_sim.attestation.formats.algorithms import TPM_ALG_SHA256
from enclave_sim.attestation.formats.reader import Reader

EV_NO_ACTION = 3
EV_ACTION = 5
EV_IPL = 13
_SIGNATURE = b"Spec ID Event03\0"
_STARTUP_LOCALITY = b"StartupLocality\0"
_STARTUP_LOCALITIES = (0, 3, 4)
_MAX_ALGORITHMS = 16
_LAST_PCR = 23


class PcrEvent(NamedTuple):
    """TCG_PCR_EVENT2: the extension of a PCR, and its reason."""

    pcr: int  # 0 to 23
    type: int
    digests: tuple[tuple[int, bytes], ...]  # (algorithm, digest), one for each bank
    data: bytes

    @classmethod
    def measured(cls, pcr: int, kind: int, digest: bytes, data: bytes) -> "PcrEvent":
        """Return an event with only the SHA-256 bank."""
        return cls(pcr, kind, ((TPM_ALG_SHA256, digest),), data)

    @property
    def digest(self) -> bytes:
        """The SHA-256 digest. Raises EvidenceError if the log has no such bank."""
        for algorithm, digest in self.digests:
            if algorithm == TPM_ALG_SHA256:
                return digest
        raise EvidenceError("event log: it has no SHA-256 digests; that bank is the one that is quoted")

    def encode(self) -> bytes:
        """Encode the event in the log's format."""
        digests = b"".join(algorithm.to_bytes(2, "little") + digest for algorithm, digest in self.digests)
        head = self.pcr.to_bytes(4, "little") + self.type.to_bytes(4, "little")
        counted = len(self.digests).to_bytes(4, "little") + digests
        return head + counted + len(self.data).to_bytes(4, "little") + self.data


class SpecIdEvent(NamedTuple):
    """TCG_EfiSpecIdEvent, the data of the first event. The defaults are those that we write and `verify` requires."""

    algorithms: tuple[tuple[int, int], ...] = ((TPM_ALG_SHA256, 32),)  # (algorithm, size of a digest in bytes)
    platform_class: int = 0  # client
    version: tuple[int, int, int] = (2, 0, 0)  # major, minor, errata
    uintn_size: int = 2  # UINT32s in a UINTN
    vendor_info: bytes = b""

    def encode(self) -> bytes:
        """Encode the first event: a TCG_PCR_EVENT of type EV_NO_ACTION, whose SHA-1 digest is zero."""
        major, minor, errata = self.version
        data = _SIGNATURE + self.platform_class.to_bytes(4, "little") + bytes([minor, major, errata, self.uintn_size])
        data += len(self.algorithms).to_bytes(4, "little")
        data += b"".join(a.to_bytes(2, "little") + size.to_bytes(2, "little") for a, size in self.algorithms)
        data += bytes([len(self.vendor_info)]) + self.vendor_info
        return bytes(4) + EV_NO_ACTION.to_bytes(4, "little") + bytes(20) + len(data).to_bytes(4, "little") + data


class EventLog(NamedTuple):
    """A complete log."""

    events: tuple[PcrEvent, ...]
    header: SpecIdEvent = SpecIdEvent()

    def encode(self) -> bytes:
        """Encode the log."""
        return self.header.encode() + b"".join(event.encode() for event in self.events)

    def replay(self) -> dict[int, bytes]:
        """Compute the values of the PCRs of the SHA-256 bank.

        Raises EvidenceError if there is no such bank, or the startup locality is impossible or comes too late.

        Returns:
            The value of each extended PCR, and of PCR 0 if an event gives its startup locality.
        """
        values: dict[int, bytes] = {}
        for event in self.events:
            if event.type == EV_NO_ACTION:
                if event.pcr == 0 and event.data.startswith(_STARTUP_LOCALITY):
                    values[0] = _started_from(event.data, extended=0 in values)
            else:
                before = values.get(event.pcr, initial_pcr(event.pcr))
                values[event.pcr] = sha256(before + event.digest).digest()
        return values

    def pcr_values(self, pcrs: tuple[int, ...]) -> bytes:
        """Return the concatenated values of these PCRs, as in a quote's digest and for `tpm2_checkquote -f`."""
        values = self.replay()
        return b"".join(values.get(pcr, initial_pcr(pcr)) for pcr in pcrs)


def initial_pcr(pcr: int) -> bytes:
    """Return the value after a reset: ones for the PCRs of a dynamic launch (17 to 22), zeros for all others."""
    return (b"\xff" if 17 <= pcr <= 22 else b"\0") * 32


def _started_from(data: bytes, *, extended: bool) -> bytes:
    """Return PCR 0 after TPM2_Startup from a locality (TCG_EfiStartupLocalityEvent, section 10.4.5.3)."""
    locality = data[len(_STARTUP_LOCALITY) :]
    if extended:
        raise EvidenceError("event log: StartupLocality comes after an event of PCR 0; it says how that PCR starts")
    if len(locality) != 1 or locality[0] not in _STARTUP_LOCALITIES:
        raise EvidenceError(f"event log: StartupLocality is {locality.hex() or 'missing'}; expected 00, 03 or 04")
    return bytes(31) + locality


def parse_event_log(data: bytes) -> EventLog:
    """Decode a log. Raises EvidenceError for anything else or a truncated last event."""
    reader = Reader("event log", data, "little")
    header = _header(reader)
    events: list[PcrEvent] = []
    while reader.offset < len(data):
        events.append(_event(reader, header, len(events)))
    return EventLog(tuple(events), header)


def _header(reader: Reader) -> SpecIdEvent:
    reader.expect(4, 0, "header pcrIndex", "PCR 0")
    reader.expect(4, EV_NO_ACTION, "header eventType", "EV_NO_ACTION")
    if any(reader.take(20, "header digest")):
        raise reader.error("header digest", 8, "is not zero", "an EV_NO_ACTION event has a digest of zeros")
    size = reader.number(4, "header eventSize")
    start = reader.offset
    if reader.take(16, "header signature") != _SIGNATURE:
        raise reader.error("header signature", start, "is wrong", "expected 'Spec ID Event03' and a NUL")
    platform_class = reader.number(4, "header platformClass")
    minor, major, errata, uintn_size = reader.take(4, "header version")
    algorithms = _algorithms(reader)
    vendor_info = reader.take(reader.number(1, "header vendorInfoSize"), "header vendorInfo")
    if reader.offset - start != size:
        taken = reader.offset - start
        raise reader.error("header eventSize", start - 4, f"is {size}", f"the header's data take {taken} bytes")
    return SpecIdEvent(algorithms, platform_class, (major, minor, errata), uintn_size, vendor_info)


def _algorithms(reader: Reader) -> tuple[tuple[int, int], ...]:
    offset = reader.offset
    count = reader.number(4, "header numberOfAlgorithms")
    if not 1 <= count <= _MAX_ALGORITHMS:
        right = f"expected 1 to {_MAX_ALGORITHMS}"
        raise reader.error("header numberOfAlgorithms", offset, f"is {count}", right)
    algorithms: dict[int, int] = {}
    for index in range(count):
        offset = reader.offset
        algorithm = reader.number(2, f"header algorithm {index}")
        size = reader.number(2, f"header digestSize {index}")
        if algorithm in algorithms:
            raise reader.error(f"header algorithm {index}", offset, "is there already", "each bank comes once")
        if algorithm == TPM_ALG_SHA256 and size != 32:
            raise reader.error(f"header digestSize {index}", offset + 2, f"is {size}", "SHA-256 has 32 bytes")
        algorithms[algorithm] = size
    return tuple(algorithms.items())


def _event(reader: Reader, header: SpecIdEvent, index: int) -> PcrEvent:
    name = f"event {index}"
    offset = reader.offset
    pcr = reader.number(4, f"{name} pcrIndex")
    if pcr > _LAST_PCR:
        raise reader.error(f"{name} pcrIndex", offset, f"is {pcr}", f"expected 0 to {_LAST_PCR}")
    kind = reader.number(4, f"{name} eventType")
    reader.expect(4, len(header.algorithms), f"{name} digests.count", "one for each algorithm of the header")
    sizes = dict(header.algorithms)
    digests: dict[int, bytes] = {}
    for _ in header.algorithms:
        offset = reader.offset
        algorithm = reader.number(2, f"{name} digest algorithm")
        if algorithm not in sizes or algorithm in digests:
            right = "expected each algorithm of the header once"
            raise reader.error(f"{name} digest algorithm", offset, f"is 0x{algorithm:04x}", right)
        digests[algorithm] = reader.take(sizes[algorithm], f"{name} digest")
    data = reader.take(reader.number(4, f"{name} eventSize"), f"{name} event")
    return PcrEvent(pcr, kind, tuple(digests.items()), data)
