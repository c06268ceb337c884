"""What a TPM remembers: for ever, while it has power, from one TPM2_Startup to the next."""

from machine.state import Stateful
from machine.tpm.buffers import TpmError, in_handle
from machine.tpm.constants import PERSISTENT, SU_CLEAR, TRANSIENT, Handle, Rc
from machine.tpm.hashes import kdf_a
from machine.tpm.keys import Key, derive
from machine.tpm.pcrs import Pcrs

_MS_PER_RESET = 1 << 20
_MAX_TRIES = 3


class TpmState(Stateful):
    """The endorsement primary seed, counters, PCRs and loaded keys."""

    STATE = (
        "seed",
        "reset_count",
        "restart_count",
        "commands",
        "safe",
        "shutdown_type",
        "started",
        "startup_locality",
        "failed",
        "lockout_used",
        "failed_tries",
        "random_requests",
        "loaded",
        "locality",
    )
    PARTS = ("pcrs",)

    def __init__(self, seed: bytes, reset_count: int) -> None:
        self.seed = seed
        self.reset_count = reset_count
        self.restart_count = 0
        self.commands = 0
        """Commands since the last TPM Reset."""
        self.safe = True
        """No clock value was given out that could be given out again."""
        self.shutdown_type: int | None = SU_CLEAR
        """Of the last TPM2_Shutdown, until something changes that it had saved."""
        self.started = False
        self.startup_locality = 0
        self.failed = False
        self.lockout_used = False
        """A key without noDA was used since the last TPM2_Shutdown."""
        self.failed_tries = 0
        self.random_requests = 0
        self.pcrs = Pcrs()
        self.loaded: dict[int, tuple[bytes, bytes, bytes]] = {}
        """Handles of loaded keys: template, sensitive data and password, of which the key follows."""
        self.locality = 0
        """Of the command that runs."""

    @property
    def clock_ms(self) -> int:
        """TPM time: a command takes one millisecond, and every TPM Reset begins a new stretch of 2^20."""
        return self.reset_count * _MS_PER_RESET + self.commands

    def key(self, handle: int) -> Key:
        """A loaded key."""
        template, data, _ = self.loaded[handle]
        return derive(self.seed, template, data)

    def random(self, size: int) -> bytes:
        """The next `size` bytes of the generator."""
        self.random_requests += 1
        context = self.reset_count.to_bytes(4, "big") + self.random_requests.to_bytes(8, "big")
        return kdf_a(self.seed, b"RANDOM", context, size)

    def ticket(self, data: bytes) -> bytes:
        """The proof that this TPM has seen `data`."""
        return kdf_a(self.seed, b"PROOF", data, 32)

    def free_slot(self) -> int:
        """The handle of a free slot. Raises TpmError."""
        for handle in TRANSIENT:
            if handle not in self.loaded:
                return handle
        raise TpmError(Rc.OBJECT_MEMORY)

    def check_loaded(self, handles: list[int]) -> None:
        """Refuse handles with nothing behind them. Raises TpmError."""
        for index, handle in enumerate(handles):
            if handle in TRANSIENT and handle not in self.loaded:
                raise TpmError(Rc.REFERENCE_H0 + index)
            if handle in PERSISTENT:
                raise TpmError(in_handle(index + 1, Rc.HANDLE))
            if handle in (Handle.OWNER, Handle.PLATFORM):
                raise TpmError(in_handle(index + 1, Rc.HIERARCHY))

    def check_password(self, handle: int, password: bytes) -> None:
        """Whether `password` is the authorization value of what `handle` names. Raises TpmError."""
        if handle not in self.loaded:
            if password:
                raise TpmError(Rc.BAD_AUTH)
            return
        key, expected = self.key(handle), self.loaded[handle][2]
        guarded = not key.no_da
        if guarded:
            self._check_lockout()
        if not key.user_with_auth:
            raise TpmError(Rc.AUTH_UNAVAILABLE)
        if password != expected:
            if not guarded:
                raise TpmError(Rc.BAD_AUTH)
            self.failed_tries += 1
            raise TpmError(Rc.AUTH_FAIL)

    def count_lost_try(self) -> None:
        """There was no TPM2_Shutdown: if a key without noDA was used, a wrong password may have been tried."""
        if self.failed_tries < _MAX_TRIES:
            self.failed_tries += self.lockout_used
            self.lockout_used = False

    def _check_lockout(self) -> None:
        if self.failed_tries >= _MAX_TRIES:
            raise TpmError(Rc.LOCKOUT)
        if not self.lockout_used:  # must be on record before the first try
            self.lockout_used, self.shutdown_type = True, None
            raise TpmError(Rc.RETRY)
