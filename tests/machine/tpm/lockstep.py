"""The model and swtpm side by side: the same commands, and comparable parts of the responses."""

from collections.abc import Callable
from dataclasses import dataclass

from machine.tpm.buffers import Unmarshaller
from machine.tpm.constants import Alg, Attribute, Code, Tag
from machine.tpm.messages import HEADER_BYTES, asked_creation
from machine.tpm.model import TpmModel
from machine.tpm.public_area import public_area
from machine.tpm.swtpm import Swtpm
from tests.machine.tpm.commands import authorized, body_of, code_of, command, shutdown, startup, tag_of

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
        """Compare one command. False: the model lacks the requested feature, and they have diverged."""
        ours, theirs = self.model.execute(sent, locality), self.swtpm.execute(sent, locality)
        if ours == theirs:
            return True
        if code_of(ours) != code_of(theirs) and _lacks(sent, code_of(ours)):
            return False
        assert _comparable(sent, ours) == _comparable(sent, theirs), f"{sent.hex()}: {ours.hex()}, {theirs.hex()}"
        return True


def freshly_reset(swtpm: Swtpm) -> Lockstep:
    """Both before TPM2_Startup after an orderly shutdown, without failed tries."""
    swtpm.execute(startup(), 0)  # it may have been started
    swtpm.execute(authorized(0x139, [_LOCKOUT]), 0)  # DictionaryAttackLockReset
    swtpm.execute(shutdown(), 0)
    clock = Unmarshaller(body_of(swtpm.execute(command(0x181), 0)))  # ReadClock
    clock.take(16)  # time and clock
    swtpm.power_on()
    return Lockstep(TpmModel(SEED, clock.u32()), swtpm)


def _lacks(sent: bytes, code: int) -> bool:
    """Whether the model refuses a key that a larger TPM has: docs/tpm.md lists them."""
    if code_of(sent) != Code.CREATE_PRIMARY:
        return False
    creation = asked_creation(sent)
    if creation.hierarchy in OTHER_HIERARCHIES:
        return code == 0x185
    if Unmarshaller(creation.public).u16() in OTHER_TYPES:
        return code == 0x2CA
    asked = public_area(Unmarshaller(creation.public))
    signs = asked.attributes & (Attribute.SIGN | Attribute.DECRYPT) == Attribute.SIGN
    return (
        (code == 0x2C2 and not signs)
        or (code == 0x2E6 and asked.curve in OTHER_CURVES)
        or (code == 0x2D2 and asked.scheme.algorithm in OTHER_SCHEMES)
    )


class _Fields:
    """Reads a response, leaving out TPM-specific parts."""

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
    shape = _SHAPES.get(code_of(sent))
    if code_of(response) or shape is None:
        return [response]
    fields.keep(HEADER_BYTES)
    shape(fields, sent)
    return [*fields.found, fields.data]


def _random(fields: _Fields, sent: bytes) -> None:
    if tag_of(sent) == Tag.SESSIONS:
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
    asked = Unmarshaller(body_of(sent))
    group, first = asked.u32(), asked.u32()
    if (group == 1 and first >> 24 != 0x40) or group == 5 or (group == 6 and first >= 0x300):
        return
    fields.data = b""
    fields.found.clear()


_SHAPES: dict[int, Callable[[_Fields, bytes], None]] = {
    Code.GET_RANDOM: _random,
    Code.CREATE_PRIMARY: _created,
    Code.READ_PUBLIC: _public_read,
    Code.QUOTE: _quoted,
    Code.GET_CAPABILITY: _capability,
}
