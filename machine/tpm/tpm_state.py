"""The state of a TPM: permanent, while powered, and from one TPM2_Startup to the next."""

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
        """True if no reported clock value can be reported again."""
        self.shutdown_type: int | None = SU_CLEAR
        """TPM_SU of the last TPM2_Shutdown; None once anything it saved has changed."""
        self.started = False
        self.startup_locality = 0
        self.failed = False
        self.lockout_used = False
        """True if a key without noDA was used since the last TPM2_Shutdown."""
        self.failed_tries = 0
        self.random_requests = 0
        self.pcrs = Pcrs()
        self.loaded: dict[int, tuple[bytes, bytes, bytes]] = {}
        """Template, sensitive data and password of each loaded key, by handle. The key is derived from them."""
        self.locality = 0
        """The locality of the running command."""

    @property
    def clock_ms(self) -> int:
        """TPM time in ms: 1 ms for each command, and 2^20 ms for each TPM Reset."""
        return self.reset_count * _MS_PER_RESET + self.commands

    def key(self, handle: int) -> Key:
        """Return a loaded key."""
        template, data, _ = self.loaded[handle]
        return derive(self.seed, template, data)

    def random(self, size: int) -> bytes:
        """Return the next `size` bytes of the random number generator."""
        self.random_requests += 1
        context = self.reset_count.to_bytes(4, "big") + self.random_requests.to_bytes(8, "big")
        return kdf_a(self.seed, b"RANDOM", context, size)

    def ticket(self, data: bytes) -> bytes:
        """Return the proof that this TPM produced `data`."""
        return kdf_a(self.seed, b"PROOF", data, 32)

    def free_slot(self) -> int:
        """Return the handle of a free slot. Raises TpmError if there is none."""
        for handle in TRANSIENT:
            if handle not in self.loaded:
                return handle
        raise TpmError(Rc.OBJECT_MEMORY)

    def check_loaded(self, handles: list[int]) -> None:
        """Check that handles refer to something. Raises TpmError."""
        for index, handle in enumerate(handles):
            if handle in TRANSIENT and handle not in self.loaded:
                raise TpmError(Rc.REFERENCE_H0 + index)
            if handle in PERSISTENT:
                raise TpmError(in_handle(index + 1, Rc.HANDLE))
            if handle in (Handle.OWNER, Handle.PLATFORM):
                raise TpmError(in_handle(index + 1, Rc.HIERARCHY))

    def check_password(self, handle: int, password: bytes) -> None:
        """Check that `password` is the authorization value of `handle`. Raises TpmError if it is not."""
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
        """Count a failed try if a key without noDA was used, because no TPM2_Shutdown recorded one."""
        if self.failed_tries < _MAX_TRIES:
            self.failed_tries += self.lockout_used
            self.lockout_used = False

    def _check_lockout(self) -> None:
        if self.failed_tries >= _MAX_TRIES:
            raise TpmError(Rc.LOCKOUT)
        if not self.lockout_used:  # must be recorded before the first try
            self.lockout_used, self.shutdown_type = True, None
            raise TpmError(Rc.RETRY)
