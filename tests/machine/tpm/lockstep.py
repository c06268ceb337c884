"""The model and swtpm side by side: the same commands, and what of the responses must be the same."""

from dataclasses import dataclass

from machine.tpm.buffers import Unmarshaller
from machine.tpm.constants import Alg, Attribute
from machine.tpm.model import TpmModel
from machine.tpm.public_area import sized_public
from machine.tpm.swtpm import Swtpm
from tests.machine.tpm.commands import authorized, code_of, command, shutdown, startup

SEED = b"a seed of this test, and no other"
OTHER_TYPES = (0x0001, 0x0008, 0x0025)
OTHER_CURVES = (0x0001, 0x0002, 0x0004, 0x0005, 0x0010, 0x0011, 0x0020)
OTHER_SCHEMES = (Alg.ECDAA, Alg.SM2, Alg.ECSCHNORR, Alg.NULL)
OTHER_HIERARCHIES = (0x4000_0001, 0x4000_0007, 0x4000_000C)
_LOCKOUT = 0x4000_000A


@dataclass
class Lockstep:
    """`model` is as old as `swtpm`: it has seen as many TPM Resets."""

    model: TpmModel
    swtpm: Swtpm

    def power_on(self) -> None:
        self.model.power_on()
        self.swtpm.power_on()

    def run(self, sent: bytes, locality: int = 0) -> bool:
        """Compare one command. False: the model lacks what it asks for, and they have parted."""
        ours, theirs = self.model.execute(sent, locality), self.swtpm.execute(sent, locality)
        if ours == theirs:
            return True
        if code_of(ours) != code_of(theirs) and _lacks(sent, code_of(ours)):
            return False
        assert _comparable(sent, ours) == _comparable(sent, theirs), f"{sent.hex()}: {ours.hex()}, {theirs.hex()}"
        return True


def freshly_reset(swtpm: Swtpm) -> Lockstep:
    """Both before TPM2_Startup after an orderly shutdown, no failed tries behind them."""
    swtpm.execute(startup(), 0)  # it may have been started
    swtpm.execute(authorized(0x139, [_LOCKOUT]), 0)  # DictionaryAttackLockReset
    swtpm.execute(shutdown(), 0)
    clock = swtpm.execute(command(0x181), 0)  # ReadClock
    swtpm.power_on()
    return Lockstep(TpmModel(SEED, int.from_bytes(clock[26:30], "big")), swtpm)


def _lacks(sent: bytes, code: int) -> bool:
    """Whether the model says no to a key that a larger TPM has: docs/tpm.md lists them."""
    if sent[6:10] != bytes.fromhex("00000131"):
        return False
    if int.from_bytes(sent[10:14], "big") in OTHER_HIERARCHIES:
        return code == 0x185
    at = 18 + int.from_bytes(sent[14:18], "big")
    at += 2 + int.from_bytes(sent[at : at + 2], "big")
    if int.from_bytes(sent[at + 2 : at + 4], "big") in OTHER_TYPES:
        return code == 0x2CA
    asked = sized_public(Unmarshaller(sent[at:]))
    signs = asked.attributes & (Attribute.SIGN | Attribute.DECRYPT) == Attribute.SIGN
    return (
        (code == 0x2C2 and not signs)
        or (code == 0x2E6 and asked.curve in OTHER_CURVES)
        or (code == 0x2D2 and asked.scheme.algorithm in OTHER_SCHEMES)
    )


class _Fields:
    """Reads a response, leaving out what a TPM has for itself."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.found: list[bytes | int] = []

    def keep(self, size: int) -> bytes:
        taken = self.skip(size)
        self.found.append(taken)
        return taken

    def skip(self, size: int) -> bytes:
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def keep_sized(self) -> None:
        self.keep(int.from_bytes(self.keep(2), "big"))

    def own_sized(self) -> None:
        self.skip(int.from_bytes(self.keep(2), "big"))

    def public(self) -> None:
        size = int.from_bytes(self.keep(2), "big")
        rest, self.data = self.data[size:], self.data[:size]
        self.keep(8)
        self.keep_sized()
        self.keep(len(self.data) - 68)
        self.data = rest


def _comparable(sent: bytes, response: bytes) -> list[bytes | int]:
    fields = _Fields(response)
    if code_of(response) or sent[6:10] not in _SHAPES:
        return [response]
    fields.keep(10)
    _SHAPES[sent[6:10]](fields, sent)
    return [*fields.found, fields.data]


def _random(fields: _Fields, sent: bytes) -> None:
    if sent[:2] == b"\x80\x02":
        fields.keep(4)
    fields.own_sized()


def _created(fields: _Fields, sent: bytes) -> None:
    fields.keep(8)
    fields.public()
    fields.keep_sized()
    fields.keep_sized()
    fields.keep(6)
    fields.skip(int.from_bytes(fields.skip(2), "big"))  # the proof: any size
    fields.own_sized()
    fields.found[1] = fields.found[0] = 0  # sizes of the whole, proof included


def _public_read(fields: _Fields, sent: bytes) -> None:
    fields.public()
    fields.own_sized()
    fields.own_sized()


def _quoted(fields: _Fields, sent: bytes) -> None:
    fields.keep(4)
    fields.keep(8)
    fields.own_sized()
    fields.keep_sized()
    fields.skip(8)
    fields.keep(8)
    fields.skip(9)
    fields.keep(4 + int.from_bytes(fields.data[:4], "big") * 6)
    fields.keep_sized()
    fields.keep(4)
    fields.own_sized()
    fields.own_sized()


def _capability(fields: _Fields, sent: bytes) -> None:
    group, first = int.from_bytes(sent[10:14], "big"), int.from_bytes(sent[14:18], "big")
    if (group == 1 and first >> 24 != 0x40) or group == 5 or (group == 6 and first >= 0x300):
        return
    fields.data = b""
    fields.found.clear()


_SHAPES = {
    bytes.fromhex("0000017b"): _random,
    bytes.fromhex("00000131"): _created,
    bytes.fromhex("00000173"): _public_read,
    bytes.fromhex("00000158"): _quoted,
    bytes.fromhex("0000017a"): _capability,
}
