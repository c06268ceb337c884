"""The attestation port at 0xFEF02000: the node's connection to a verifier, for challenges, evidence and verdicts.

Register layout (32 bits each; firmware/src/layout.h, VERIFIER_):

    0x00 ID         reads 0x46524556 ("VERF"): the port is present
    0x04 CHALLENGE  write a cycle: the port fetches a nonce for it
    0x08 EVIDENCE   write the physical address of a table: the port reads the evidence and submits it
    0x0C RESULT     of the evidence: 0 accepted, 1 refused
    0x20-0x3F NONCE in the order of its bytes

The table is seven pairs of address and length, 32 bits each: the event log, then for each of two keys TPMS_ATTEST,
TPMT_SIGNATURE and TPM2B_PUBLIC. Length 0 means that there is none.
"""

import struct
from collections.abc import Callable

from enclave_sim import events
from enclave_sim.attestation import Evidence, SignedQuote
from enclave_sim.enclave.attester.contract import Judgement, NoChallenge, Verifier
from machine.bus.bus import Device
from machine.bus.ram import Ram
from machine.journal import Journal

ADDRESS = 0xFEF0_2000
ID, CHALLENGE, EVIDENCE, RESULT, NONCE = 0x00, 0x04, 0x08, 0x0C, 0x20
PRESENT = 0x4652_4556
ACCEPTED, REFUSED = 0, 1
NONCE_SIZE = 32
_TABLE = struct.Struct("<14I")
_LONGEST = 1 << 16


class AttestationPort(Device):
    """Reads evidence from RAM, calls `on_evidence` with it, and submits it to `verifier`."""

    STATE = ("evidence", "_cycle", "_nonce", "_unavailable", "_result")
    PARTS = ("verifier",)
    WIRING = ("_ram", "_emit", "on_evidence")

    def __init__(self, ram: Ram, journal: Journal, verifier: Verifier) -> None:
        super().__init__()
        self._ram = ram
        self._emit = journal.emit
        self.verifier = verifier
        self.on_evidence: Callable[[Evidence], None] = _nothing
        self.evidence: Evidence | None = None
        """The last submitted evidence."""
        self.reset()

    def reset(self) -> None:
        """Close the challenge."""
        self._cycle = 0
        self._nonce = bytes(NONCE_SIZE)
        self._unavailable: str | None = None
        self._result = REFUSED

    def read(self, offset: int, size: int) -> int:
        """Return ID, RESULT, or `size` bytes of the nonce."""
        if NONCE <= offset < NONCE + NONCE_SIZE:
            start = offset - NONCE
            return int.from_bytes(self._nonce[start : start + size], "little")
        return {ID: PRESENT, RESULT: self._result}.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Fetch a challenge, or submit evidence."""
        if offset == CHALLENGE:
            self._challenge(value & 0xFFFF_FFFF)
        elif offset == EVIDENCE:
            self._judge(value & 0xFFFF_FFFF)

    def _challenge(self, cycle: int) -> None:
        self.reset()
        self._cycle = cycle
        try:
            self._nonce = self.verifier.challenge(cycle)
        except NoChallenge as error:
            self._unavailable = str(error)
        else:
            self._emit(events.VerifierChallenged, cycle, self._nonce.hex())

    def _judge(self, table: int) -> None:
        self.evidence = evidence = self._read(table)
        self.on_evidence(evidence)
        missing = self._unavailable
        judgement = self.verifier.judge(evidence) if missing is None else Judgement(False, missing)
        self._result = ACCEPTED if judgement.accepted else REFUSED
        verdict = "accepted" if judgement.accepted else "refused"
        self._emit(events.AttestationDecided, self._cycle, verdict, judgement.message)

    def _read(self, table: int) -> Evidence:
        """Read the evidence described by the table at a physical address. A range outside RAM counts as empty."""
        numbers = _TABLE.unpack(self._bytes(table, _TABLE.size).ljust(_TABLE.size, b"\0"))
        log, *blobs = (self._bytes(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True))
        quotes = [SignedQuote(*blobs[at : at + 3]) for at in range(0, len(blobs), 3)]
        return Evidence(self._nonce, self._cycle, tuple(quote for quote in quotes if quote.attest), log)

    def _bytes(self, base: int, length: int) -> bytes:
        if length > _LONGEST or base + length > self._ram.size:
            return b""
        return self._ram.read(base, length)


def _nothing(_evidence: Evidence) -> None:
    pass
