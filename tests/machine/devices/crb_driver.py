"""A driver of the command response buffer, and a TPM with given answers."""

from collections.abc import Callable

from machine.devices.tpm_crb import (
    BUFFER,
    BUFFER_BYTES,
    CMD_READY,
    CTRL_REQ,
    CTRL_START,
    CTRL_STS,
    GO_IDLE,
    LOC_CTRL,
    RELINQUISH,
    REQUEST_ACCESS,
    TpmCrb,
)
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState
from machine.state import Stateful
from machine.tpm.backend import TpmUnavailable
from machine.tpm.model import TpmModel
from tests.machine.tpm.commands import size_of


class Scripted(Stateful):
    """A TPM whose answers are given in advance, or that never answers."""

    STATE = ("commands", "resets")

    def __init__(self, answer: Callable[[bytes], bytes] | bytes | str = b"\x80\x01\0\0\0\x0a\0\0\0\0") -> None:
        self._answer = answer
        self.commands: list[bytes] = []
        self.resets = 0

    def power_on(self) -> None:
        self.resets += 1

    def execute(self, command: bytes, locality: int) -> bytes:
        assert locality == 0
        self.commands.append(command)
        if isinstance(self._answer, str):
            raise TpmUnavailable(self._answer)
        return self._answer if isinstance(self._answer, bytes) else self._answer(command)


def device(tpm_: Scripted | TpmModel) -> TpmCrb:
    return TpmCrb(Clock(HookState(deadline=NEVER)), tpm_)


def put(crb: TpmCrb, data: bytes, width: int = 4) -> None:
    for at in range(0, len(data), width):
        piece = data[at : at + width]
        crb.write(BUFFER + at, len(piece), int.from_bytes(piece, "little"))


def get(crb: TpmCrb, size: int, width: int = 4) -> bytes:
    return b"".join(crb.read(BUFFER + at, width).to_bytes(width, "little") for at in range(0, size, width))[:size]


def ready(crb: TpmCrb) -> None:
    crb.write(LOC_CTRL, 4, REQUEST_ACCESS)
    crb.write(CTRL_REQ, 4, CMD_READY)


def run(crb: TpmCrb, command: bytes) -> bytes:
    """The whole sequence of a driver."""
    ready(crb)
    put(crb, command)
    crb.write(CTRL_START, 4, 1)
    assert (crb.read(CTRL_START, 4), crb.read(CTRL_STS, 4)) == (0, 0)
    response = get(crb, BUFFER_BYTES)
    crb.write(CTRL_REQ, 4, GO_IDLE)
    crb.write(LOC_CTRL, 4, RELINQUISH)
    return response[: size_of(response)]
