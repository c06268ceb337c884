"""The model of a TPM 2.0: the same seed and the same commands always give the same bytes, on every host.

It has the commands of the TPM 2.0 Library, revision 1.64, Part 3, that PC firmware needs for measurement and
attestation. docs/tpm.md lists what is missing, and differences from swtpm.
"""

from typing import Any

from machine.errors import MachineError
from machine.state import Stateful
from machine.tpm.buffers import TpmError, Unmarshaller, in_handle, in_parameter
from machine.tpm.commands import COMMANDS, Command
from machine.tpm.constants import Alg, Code, Rc, Tag
from machine.tpm.failure_mode import respond_failed
from machine.tpm.keys import Key
from machine.tpm.messages import error_response, message
from machine.tpm.sessions import Password, authorize, response_area
from machine.tpm.tpm_state import TpmState

MAX_COMMAND_BYTES = 4096
_STRUCTURE_TAGS = (
    Tag.RSP_COMMAND,
    0x8000,
    Tag.NO_SESSIONS,
    Tag.SESSIONS,
    *range(0x8014, 0x801B),
    *range(0x8021, 0x8026),
)
"""TPM_ST. Tags of other structures are TPM_RC_BAD_TAG in a command; any other number is TPM_RC_VALUE."""


class TpmModel(Stateful):
    """A TPM made from `seed` (at least 16 bytes, its only secret), after `reset_count` TPM Resets.

    It is powered on, and waits for TPM2_Startup. Raises MachineError for a seed that is too short, or a reset count
    that is not 0 to 2^32 - 2.
    """

    PARTS = ("_state",)

    def __init__(self, seed: bytes, reset_count: int = 0) -> None:
        if len(seed) < 16:
            raise MachineError(f"the seed of a TPM has at least 16 bytes, not {len(seed)}")
        if not 0 <= reset_count < 0xFFFF_FFFF:
            raise MachineError(f"the reset count of a TPM is a number from 0 to 2^32 - 2, not {reset_count}")
        self._state = TpmState(bytes(seed), reset_count)

    @property
    def seed(self) -> bytes:
        """The TPM's seed."""
        return self._state.seed

    @property
    def loaded_keys(self) -> tuple[Key, ...]:
        """The loaded keys, with their secrets, in the order of their handles."""
        return tuple(self._state.key(handle) for handle in sorted(self._state.loaded))

    def power_on(self) -> None:
        """Execute _TPM_Init: unload all keys, end failure mode, and accept only TPM2_Startup."""
        self._state.loaded.clear()
        self._state.started = self._state.failed = False

    def fail(self) -> None:
        """Enter failure mode: until `power_on`, only TPM2_GetTestResult and TPM2_GetCapability are answered."""
        self._state.failed = True

    def flip_pcr(self, number: int, bits: int) -> None:
        """Invert bits of a PCR of the SHA-256 bank, a little-endian mask, as a fault does."""
        self._state.pcrs.flip(Alg.SHA256, number, bits)

    def execute(self, command: bytes, locality: int) -> bytes:
        """Execute one command and return the response: see `TpmBackend`."""
        state = self._state
        if state.failed:
            return respond_failed(command)
        state.locality = locality
        state.commands += 1
        try:
            return _execute(state, command)
        except TpmError as error:
            return error_response(error.code)


def _execute(state: TpmState, command: bytes) -> bytes:
    source = Unmarshaller(command)
    tag = source.choice(_STRUCTURE_TAGS, Rc.VALUE)
    if tag not in (Tag.NO_SESSIONS, Tag.SESSIONS):
        raise TpmError(Rc.BAD_TAG)
    if source.u32() != len(command) or len(command) > MAX_COMMAND_BYTES:
        raise TpmError(Rc.COMMAND_SIZE)
    code = source.u32()
    row = COMMANDS.get(code)
    if row is None:
        raise TpmError(Rc.COMMAND_CODE)
    if state.started == (code == Code.STARTUP):
        raise TpmError(Rc.INITIALIZE)
    handles = _handles(row, source)
    state.check_loaded(handles)
    passwords = _authorization(state, row, source, handles, tag)
    parameters = _parameters(row, source)
    return _response(row.action(state, *handles, *parameters), row, passwords, tag)


def _handles(row: Command, source: Unmarshaller) -> list[int]:
    found: list[int] = []
    for parse in row.handles:
        try:
            found.append(parse(source))
        except TpmError as error:
            raise TpmError(in_handle(len(found) + 1, error.code)) from None
    return found


def _authorization(state: TpmState, row: Command, source: Unmarshaller, handles: list[int], tag: int) -> list[Password]:
    if tag == Tag.SESSIONS:
        return authorize(state, source, handles, row)
    if row.authorized:
        raise TpmError(Rc.AUTH_MISSING)
    return []


def _parameters(row: Command, source: Unmarshaller) -> list[Any]:
    found: list[Any] = []
    for parse in row.parameters:
        try:
            found.append(parse(source))
        except TpmError as error:
            raise TpmError(in_parameter(len(found) + 1, error.code)) from None
    if source.left:
        raise TpmError(Rc.SIZE)
    return found


def _response(parameters: bytes, row: Command, passwords: list[Password], tag: int) -> bytes:
    handle = b""
    if row.returns_handle:
        handle, parameters = parameters[:4], parameters[4:]
    if tag == Tag.SESSIONS:
        parameters = len(parameters).to_bytes(4, "big") + parameters + response_area(passwords)
    return message(Rc.SUCCESS, handle + parameters, tag=tag)
