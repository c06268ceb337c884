"""The TPM's Command Response Buffer (TCG PC Client Platform TPM Profile, "CRB Interface"), locality 0.

Register layout (32 bits each, from the base of the block):

    0x00 LOC_STATE   bit 0 not established, bit 1 locality assigned, bit 7 valid
    0x08 LOC_CTRL    write 1 requestAccess, 2 relinquish
    0x0C LOC_STS     bit 0 granted
    0x30 INTF_ID     64 bits: a CRB of version 1, locality 0 only, no idle bypass, transfers of 64 bytes
    0x40 CTRL_REQ    write 1 cmdReady, 2 goIdle; reads 0 when done, which is immediately
    0x44 CTRL_STS    bit 0 tpmSts: a fatal error, until reset; bit 1 tpmIdle
    0x4C CTRL_START  write 1 to execute the command; reads 0 when the response is available
    0x58 CMD_SIZE, 0x5C and 0x60 CMD_ADDR, 0x64 RSP_SIZE, 0x68 RSP_ADDR (64 bits)
    0x80 DATA_BUFFER 0xF80 bytes, for the command and then the response

The states are the profile's: Idle -cmdReady-> Ready -a write to the buffer-> Reception -START-> Completion -goIdle->
Idle. Requests that are invalid in a state are ignored: START in any state but Reception, writes to the buffer in Idle
and Completion, cmdReady in Completion (there is no idle bypass), and everything while the locality is not granted.
goIdle and relinquish clear the buffer. Without the locality the buffer reads as all ones. CTRL_CANCEL does nothing,
because no command is ever running when it is written. Not implemented: interrupts, and localities 1 to 4, whose blocks
are empty.

The interface itself answers TPM_RC_COMMAND_SIZE to a command whose header has a size below 10 or above the buffer's.
A TPM that does not answer is a fatal error: tpmSts is set, and the buffer is unchanged.
"""

from collections.abc import Callable

from machine.bus.bus import Device
from machine.processor.clock import Clock
from machine.state import State
from machine.tpm.backend import TpmBackend, TpmUnavailable
from machine.tpm.constants import Code, Rc
from machine.tpm.messages import HEADER_BYTES, Header, error_response

ADDRESS = 0xFED4_0000
BUFFER, BUFFER_BYTES = 0x80, 0xF80
LOC_STATE, LOC_CTRL, LOC_STS, INTF_ID = 0x00, 0x08, 0x0C, 0x30
CTRL_REQ, CTRL_STS, CTRL_START, CMD_SIZE, CMD_ADDR, RSP_SIZE, RSP_ADDR = 0x40, 0x44, 0x4C, 0x58, 0x5C, 0x64, 0x68
REQUEST_ACCESS, RELINQUISH = 1, 2
CMD_READY, GO_IDLE = 1, 2
FATAL, IDLE = 1, 2
_INTERFACE = 1 | 1 << 4 | 3 << 11 | 1 << 14 | 1 << 17
_BAD_SIZE = error_response(Rc.COMMAND_SIZE)

SIMPLE_NS = 20_000
EXECUTION_NS: dict[int, int] = {Code.CREATE_PRIMARY: 200_000, Code.QUOTE: 200_000}
"""Virtual time in ns of commands that take longer than SIMPLE_NS."""


_IDLE, _READY, _RECEPTION, _COMPLETION = range(4)
"""States of the interface. Command Execution ends before the next instruction, so software never sees it."""


class TpmCrb(Device):
    """The CRB device.

    It calls `on_command(command, response)` after each answered command. Creating it powers on the TPM. Raises
    TpmUnavailable if the TPM does not start.
    """

    STATE = ("failure", "delay_ns", "error", "_granted", "_state", "_buffer")
    PARTS = ("tpm",)
    WIRING = ("_clock", "on_command")
    WINDOW = range(BUFFER, BUFFER + BUFFER_BYTES)

    def __init__(self, clock: Clock, tpm: TpmBackend) -> None:
        super().__init__()
        self._clock = clock
        self.tpm = tpm
        self.on_command: Callable[[bytes, bytes], None] | None = None
        self.failure: str | None = None
        """The reason why the TPM did not answer, which sets CTRL_STS bit 0; None if it always answered."""
        self.delay_ns = 0
        """Virtual time in ns by which a fault delays the next command."""
        self.error = 0
        """The response code with which a fault answers the next command; 0 for none."""
        self._granted = False
        self._state = _IDLE
        self._buffer = bytearray(BUFFER_BYTES)
        tpm.power_on()

    def reset(self) -> None:
        """Go to Idle with no locality granted, and reset the TPM."""
        self._grant(False)
        self._go_idle()
        self.failure = None
        try:
            self.tpm.power_on()
        except TpmUnavailable as error:
            self.failure = str(error)

    def load_state(self, state: State) -> None:
        """Restore a state: see `Stateful`."""
        super().load_state(state)
        self._grant(self._granted)
        self._enter(self._state)

    def _enter(self, state: int) -> None:
        self._state = state
        self.let_write(state == _RECEPTION)

    def _grant(self, granted: bool) -> None:
        self._granted = granted
        self.expose(self._buffer if granted else None)

    def read(self, offset: int, size: int) -> int:
        """Return a register, or bytes of the buffer."""
        if offset >= BUFFER:
            if not self._granted:
                return (1 << 8 * size) - 1
            return int.from_bytes(self._buffer[offset - BUFFER : offset - BUFFER + size], "little")
        first = offset & ~3
        if size == 4 and first == offset:  # the usual access of drivers
            return self._register(offset)
        value = sum(self._register(first + 4 * n) << 32 * n for n in range(3))
        return value >> 8 * (offset - first) & (1 << 8 * size) - 1

    def _register(self, offset: int) -> int:
        if offset == LOC_STATE:
            return 0x81 | self._granted << 1
        if offset == LOC_STS:
            return int(self._granted)
        if offset == CTRL_STS:
            return (self.failure is not None) * FATAL | (self._state == _IDLE) * IDLE
        return _CONSTANTS.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        """Execute a request, or store bytes of the command."""
        if offset >= BUFFER:
            self._write_buffer(offset - BUFFER, size, value)
        elif offset == LOC_CTRL:
            if value & RELINQUISH and self._granted:
                self._grant(False)
                self._go_idle()
            elif value & REQUEST_ACCESS:
                self._grant(True)
        elif not self._granted:
            return
        elif offset == CTRL_REQ:
            if value & GO_IDLE:
                self._go_idle()
            elif value & CMD_READY and self._state == _IDLE:
                self._enter(_READY)
        elif offset == CTRL_START and value & 1 and self._state == _RECEPTION and self.failure is None:
            self._start()

    def _write_buffer(self, at: int, size: int, value: int) -> None:
        if not self._granted or self._state not in (_READY, _RECEPTION):
            return
        size = min(size, BUFFER_BYTES - at)
        self._buffer[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        self._enter(_RECEPTION)

    def _go_idle(self) -> None:
        self._enter(_IDLE)
        self._buffer[:] = bytes(BUFFER_BYTES)

    def _start(self) -> None:
        header = Header.of(self._buffer)
        if not HEADER_BYTES <= header.size <= BUFFER_BYTES:
            self._complete(_BAD_SIZE)
            return
        command = bytes(self._buffer[: header.size])
        delay_ns, error = self.delay_ns, self.error
        self.delay_ns = self.error = 0
        self._clock.spend(EXECUTION_NS.get(header.code, SIMPLE_NS) + delay_ns)
        if error:
            self._complete(error_response(error))
            return
        try:
            response = self.tpm.execute(command, 0)
        except TpmUnavailable as error:
            self.failure = str(error)
            return
        if len(response) > BUFFER_BYTES:
            self.failure = f"the response has {len(response)} bytes, and the buffer {BUFFER_BYTES}"
            return
        self._complete(response)
        if self.on_command is not None:
            self.on_command(command, response)

    def _complete(self, response: bytes) -> None:
        self._buffer[:] = response.ljust(BUFFER_BYTES, b"\0")
        self._enter(_COMPLETION)


_CONSTANTS = {
    INTF_ID: _INTERFACE,
    CMD_SIZE: BUFFER_BYTES,
    CMD_ADDR: ADDRESS + BUFFER,
    RSP_SIZE: BUFFER_BYTES,
    RSP_ADDR: ADDRESS + BUFFER,
}
