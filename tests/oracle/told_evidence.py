"""What the kernel tells on the serial line of its evidence, where there is no port to a verifier.

For each cycle, behind CYCLE: LOG, and for each of two keys ATTEST, SIGNATURE and PUBLIC, each with its length and then
the bytes, in their order, as lines of a space and eight hexadecimal digits; the last one may be filled up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from enclave_sim.attestation import Evidence, SignedQuote

NONCE = bytes(32)
_BLOBS = ("ATTEST", "SIGNATURE", "PUBLIC")


@dataclass(frozen=True)
class Told:
    """A serial line, taken apart."""

    evidence: tuple[Evidence, ...]
    """Of each cycle."""
    rest: tuple[str, ...]
    """The other lines, CYCLE included."""


def take_apart(lines: Sequence[str]) -> Told:
    """Raises ValueError for evidence that is not written as it must be, or that belongs to no cycle."""
    evidence: list[Evidence] = []
    rest: list[str] = []
    left = iter(lines)
    for line in left:
        if line.startswith("LOG "):
            evidence.append(_evidence(rest[-1], line, left))
        else:
            rest.append(line)
    return Told(tuple(evidence), tuple(rest))


def _evidence(before: str, line: str, left: Iterator[str]) -> Evidence:
    word, cycle = before.split()
    if word != "CYCLE":
        raise ValueError(f"evidence comes right behind CYCLE, not behind {before!r}")
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
