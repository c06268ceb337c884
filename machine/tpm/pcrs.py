"""Platform configuration registers of a PC Client TPM: one bank, SHA-256, of 24.

The localities that may extend and reset a PCR are those of the platform profile. A PCR reset by D-RTM (locality 4)
starts as all ones. The update counter counts changes, except to PCRs that any software may change freely.
"""

import msgspec

from machine.state import Stateful
from machine.tpm.buffers import TpmError, Unmarshaller
from machine.tpm.constants import DIGEST_SIZES, Alg, Rc
from machine.tpm.hashes import HASHES

BANKS = (int(Alg.SHA256),)
SELECT_BYTES = 3
_MAX_DIGESTS_READ = 8
D_RTM = 0x10
"""The locality of a dynamic root of trust."""


class PcrAttributes(msgspec.Struct, frozen=True):
    """The attributes of one PCR. Localities are bit masks."""

    saved: bool
    """True if TPM2_Shutdown(STATE) saves it."""
    reset: int
    """Localities that may reset it."""
    extend: int
    """Localities that may extend it."""
    counted: bool = True
    """True if its changes increment the update counter."""


_STATIC = PcrAttributes(saved=True, reset=0, extend=0x1F)
_FREE = PcrAttributes(saved=False, reset=0x0F, extend=0x1F, counted=False)
ATTRIBUTES: tuple[PcrAttributes, ...] = (
    *[_STATIC] * 16,
    _FREE,
    PcrAttributes(saved=False, reset=0x10, extend=0x1C),
    PcrAttributes(saved=False, reset=0x10, extend=0x1C),
    PcrAttributes(saved=False, reset=0x10, extend=0x0C),
    PcrAttributes(saved=False, reset=0x14, extend=0x0E),
    PcrAttributes(saved=False, reset=0x14, extend=0x04, counted=False),
    PcrAttributes(saved=False, reset=0x14, extend=0x04, counted=False),
    _FREE,
)


class Selection(msgspec.Struct, frozen=True):
    """TPMS_PCR_SELECTION."""

    bank: int
    bitmap: bytes

    def numbers(self) -> list[int]:
        """Return the selected PCRs, in order."""
        return [n for n in range(8 * len(self.bitmap)) if self.bitmap[n // 8] >> n % 8 & 1]

    def without(self, numbers: list[int]) -> "Selection":
        """Return the selection without some PCRs."""
        bits = int.from_bytes(self.bitmap, "little") & ~sum(1 << n for n in numbers)
        return Selection(self.bank, bits.to_bytes(len(self.bitmap), "little"))


Selections = tuple[Selection, ...]


def selections(source: Unmarshaller) -> Selections:
    """Unmarshal a TPML_PCR_SELECTION."""
    count = source.u32()
    if count > len(HASHES):
        raise TpmError(Rc.SIZE)
    found = []
    for _ in range(count):
        bank = source.hash_alg()
        size = source.u8()
        if size != SELECT_BYTES:
            raise TpmError(Rc.VALUE)
        found.append(Selection(bank, source.take(size)))
    return tuple(found)


def marshal(chosen: Selections) -> bytes:
    """Marshal a TPML_PCR_SELECTION."""
    parts = [len(chosen).to_bytes(4, "big")]
    parts += [s.bank.to_bytes(2, "big") + bytes([len(s.bitmap)]) + s.bitmap for s in chosen]
    return b"".join(parts)


def allocated(chosen: Selections) -> Selections:
    """Return a selection without PCRs of unallocated banks."""
    return tuple(s if s.bank in BANKS else Selection(s.bank, bytes(len(s.bitmap))) for s in chosen)


class Pcrs(Stateful):
    """The values of the PCRs."""

    STATE = ("_values", "_saved", "update_counter")

    def __init__(self) -> None:
        self._values = {bank: self._initial(bank) for bank in BANKS}
        self._saved = {bank: self._initial(bank) for bank in BANKS}
        self.update_counter = 0

    @staticmethod
    def _initial(bank: int) -> list[bytes]:
        size = DIGEST_SIZES[bank]
        return [b"\xff" * size if a.reset & D_RTM else bytes(size) for a in ATTRIBUTES]

    def start(self, locality: int, *, reset: bool, resume: bool) -> None:
        """Initialise PCRs for TPM2_Startup from `locality`. A TPM Reset clears the counter; a Resume restores PCRs."""
        if reset:
            self.update_counter = 0
        for bank in BANKS:
            values = self._initial(bank)
            values[0] = values[0][:-1] + bytes([locality])
            if resume:
                values[:16] = self._saved[bank][:16]
            self._values[bank] = values
        self.update_counter += sum(a.counted and not (resume and a.saved) for a in ATTRIBUTES)

    def save(self) -> None:
        """Save the PCRs, for TPM2_Shutdown(STATE)."""
        self._saved = {bank: values.copy() for bank, values in self._values.items()}

    def value(self, bank: int, number: int) -> bytes:
        """Return a PCR's value."""
        return self._values[bank][number]

    def extend(self, bank: int, number: int, measurement: bytes) -> None:
        """Set a PCR to the digest of its value and `measurement`. An unallocated bank is ignored."""
        values = self._values.get(bank)
        if values is not None:
            values[number] = HASHES[bank](values[number] + measurement).digest()
            self.update_counter += ATTRIBUTES[number].counted

    def flip(self, bank: int, number: int, bits: int) -> None:
        """Invert bits of a PCR, a little-endian mask, as a fault does."""
        before = self._values[bank][number]
        inverted = int.from_bytes(before, "little") ^ bits
        self._values[bank][number] = inverted.to_bytes(len(before), "little")

    def clear(self, number: int) -> None:
        """Set a PCR to zero in all banks."""
        for bank, values in self._values.items():
            values[number] = bytes(DIGEST_SIZES[bank])
        self.update_counter += ATTRIBUTES[number].counted

    def digest(self, algorithm: int, chosen: Selections) -> bytes:
        """Return the digest of the selected PCRs' values, concatenated."""
        values = [self._values[s.bank][n] for s in allocated(chosen) for n in s.numbers()]
        found: bytes = HASHES[algorithm](b"".join(values)).digest()
        return found

    def read(self, chosen: Selections) -> tuple[Selections, list[bytes]]:
        """Return the selection of values that fit into a response, and these values."""
        done: list[Selection] = []
        values: list[bytes] = []
        for selection in allocated(chosen):
            numbers = selection.numbers()
            fitting = _MAX_DIGESTS_READ - len(values)
            values += [self._values[selection.bank][n] for n in numbers[:fitting]]
            done.append(selection.without(numbers[fitting:]))
        return tuple(done), values
