"""The evidence that the kernel prints on the serial line if there is no port to a verifier. For each cycle, after
CYCLE: LOG, and for each of two keys ATTEST, SIGNATURE and PUBLIC, each with its length and then the bytes in order, as
lines of a space and eight hexadecimal digits; the last line may be padded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from enclave_sim.attestation import Evidence, SignedQuote

NONCE = bytes(32)
_BLOBS = ("ATTEST", "SIGNATURE", "PUBLIC")


@dataclass(frozen=True)
class SerialEvidence:
    """The serial output, parsed."""

    evidence: tuple[Evidence, ...]
    """The evidence of each cycle."""
    rest: tuple[str, ...]
    """The other lines, CYCLE included."""


def parse_serial_evidence(lines: Sequence[str]) -> SerialEvidence:
    """Parse the lines. Raises ValueError for malformed evidence, or evidence outside a cycle."""
    evidence: list[Evidence] = []
    rest: list[str] = []
    left = iter(lines)
    for line in left:
        if line.startswith("LOG "):
            evidence.append(_evidence(rest[-1], line, left))
        else:
            rest.append(line)
    return SerialEvidence(tuple(evidence), tuple(rest))


def _evidence(before: str, line: str, left: Iterator[str]) -> Evidence:
    word, cycle = before.split()
    if word != "CYCLE":
        raise ValueError(f"evidence follows CYCLE, not {before!r}")
    log = _blob("LOG", line, left)
    quotes = [SignedQuote(*(_blob(name, next(left), left) for name in _BLOBS)) for _ in range(2)]
    return Evidence(NONCE, int(cycle, 16), tuple(quote for quote in quotes if quote.attest), log)


def _blob(name: str, line: str, left: Iterator[str]) -> bytes:
    word, length = line.split(" ")
    if word != name:
        raise ValueError(f"{name} comes here, not {line!r}")
    size = int(length, 16)
    words = [next(left) for _ in range((size + 3) // 4)]
    if any(len(word) != 9 or word[0] != " " for word in words):
        raise ValueError(f"{name}: a line is a space and eight digits")
    return bytes.fromhex("".join(words))[:size]
