"""AetherHost, the VMM: verifies payloads, compiles them and provides guests.

It answers at the mailbox (`devices/mailbox.py`) and works on the machine's RAM. Its work takes virtual time
proportional to the number of bytes, so that time does not depend on the host.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

from enclave_sim import events
from enclave_sim.enclave.devices.mailbox import ACCEPTED, REFUSED
from enclave_sim.enclave.engine.contract import Backtrace, StoreFinder
from enclave_sim.memory_map import region
from enclave_sim.payload import anchor_list, artefact, signature
from enclave_sim.payload.errors import KeyFileError, PayloadRejected
from enclave_sim.payload.keys import TrustAnchor
from enclave_sim.specification import Verification
from machine.bus.ram import Ram
from machine.errors import MachineError
from machine.execution.deferred_signals import SignalsHeld
from machine.journal import Journal
from machine.processor.clock import Clock
from machine.state import State, Stateful

VERIFY_NS_PER_BYTE = 10
COMPILE_NS_PER_BYTE = 100


class HostedEngine(Protocol):
    """A guest engine as AetherHost uses it: it accepts modules. The kernel may do the first three itself."""

    def admit(self, module: bytes, code: bytes | None, made_by: bytes | None) -> int:
        """Compile a verified module, or load its authenticated code. Raises PayloadRejected."""

    def instantiate(self, payload: int) -> int:
        """Make a fresh guest; see `GuestEngine.instantiate`."""

    def destroy(self) -> None:
        """Drop the guest; see `GuestEngine.destroy`."""

    def replace(self, payload: int, module: bytes) -> int:
        """Compile another module for an admitted payload; see `WasmtimeEngine.replace`."""

    def load_progress(self, progress: tuple[Any, ...] | None) -> None:
        """Bring a guest to the position of another one, given the plain values of its progress."""

    def backtrace(self) -> Backtrace | None:
        """Find the guest's place; see `WasmtimeEngine.backtrace`."""

    def store_finder(self, where: range) -> StoreFinder | None:
        """Return a finder of the guest's last store to a range of the heap; see `WasmtimeEngine.store_finder`."""

    def save_state(self) -> State:
        """Return the payloads and the progress of the guest; see `GuestEngine.save_state`."""

    def load_state(self, state: State) -> None:
        """Return to a state of this engine; see `GuestEngine.load_state`."""


class AetherHost(Stateful):
    """The VMM of one enclave."""

    STATE = ("_anchors", "_verified", "_guest_lives")
    PARTS = ("_engine",)
    WIRING = ("_ram", "_clock", "_emit", "_verification", "_production", "rejection")

    def __init__(
        self,
        ram: Ram,
        clock: Clock,
        journal: Journal,
        engine: HostedEngine,
        *,
        verification: Verification = Verification.HOST,
        production: bool,
    ) -> None:
        self._ram = ram
        self._clock = clock
        self._emit = journal.emit
        self._engine = engine
        self._anchors: tuple[TrustAnchor, ...] = ()
        self._verification = verification
        self._production = production
        self._verified: list[tuple[bytes, artefact.Artefact | None]] = []
        self._guest_lives = False
        self.rejection: PayloadRejected | None = None
        """The reason why the last payload was refused."""

    def trust(self, base: int, length: int) -> int:
        """Accept signatures by these anchors from now on: the kernel has measured them."""
        try:
            self._anchors = anchor_list.unpack(self._ram.read(base, length))
        except (KeyFileError, MachineError):  # the range is not in RAM
            return REFUSED
        return ACCEPTED

    def verify(self, base: int, length: int) -> int:
        """Measure the payload, then check both signatures and the module for which an artefact was compiled."""
        self._clock.spend(length * VERIFY_NS_PER_BYTE)
        return self._accept(base, length, signature.verify)

    def admit(self, base: int, length: int) -> int:
        """Take the kernel's word that the signatures of a payload are good, if it is configured to verify them."""
        if self._verification is not Verification.FIRMWARE:
            return REFUSED
        return self._accept(base, length, signature.identify)

    def _accept(self, base: int, length: int, judge: Callable[..., signature.VerifiedPayload]) -> int:
        number = len(self._verified)
        try:
            staged = self._ram.read(base, length)
        except MachineError:
            return REFUSED
        self._emit(events.PayloadMeasured, number, length, hashlib.sha256(staged).hexdigest())
        try:
            verified = judge(staged, self._anchors, production=self._production)
            module, code = artefact.split(verified.content)
            if code is not None:  # it runs on the host, so the kernel's word is not enough
                signature.verify(staged, self._anchors, production=self._production)
        except PayloadRejected as rejected:
            return self._reject(number, rejected)
        self._verified.append((module, code))
        anchor = verified.anchor
        self._emit(events.PayloadVerified, number, anchor.name, anchor.development, code is not None)
        return ACCEPTED

    def compile(self, payload: int) -> int:
        """Compile a payload, or load the code in it."""
        if payload >= len(self._verified):
            return REFUSED
        module, code = self._verified[payload]
        try:
            if code is None:
                self._engine.admit(module, None, None)
            else:
                self._engine.admit(module, code.code, code.fingerprint)
        except PayloadRejected as rejected:
            return self._reject(payload, rejected)
        self._clock.spend(0 if code is not None else len(module) * COMPILE_NS_PER_BYTE)
        self._emit(events.PayloadCompiled, payload, code is not None)
        return ACCEPTED

    def instantiate(self, payload: int, cycle: int) -> tuple[int, int]:
        """Make a fresh guest of an admitted payload."""
        try:
            size = self._engine.instantiate(payload)
        except ValueError:  # there is no such payload
            return REFUSED, 0
        self._guest_lives = True
        self._emit(events.GuestInstantiated, payload, cycle, size)
        return ACCEPTED, size

    def destroy(self) -> None:
        """Drop the guest, if there is one."""
        self._engine.destroy()
        if self._guest_lives:
            self._guest_lives = False
            self._emit(events.GuestDestroyed)

    def replace(self, payload: int, module: bytes) -> int:
        """Replace an admitted payload by another, unsigned module. Return the size of its memory in bytes."""
        size = self._engine.replace(payload, module)
        self._verified[payload] = (module, None)
        return size

    def module(self, payload: int) -> bytes | None:
        """Return the module of a verified payload, or of its replacement; None if there is none."""
        return self._verified[payload][0] if payload < len(self._verified) else None

    def guest_backtrace(self) -> Backtrace | None:
        """Find the guest's place; see `WasmtimeEngine.backtrace`."""
        with SignalsHeld():
            return self._engine.backtrace()

    def guest_store(self, where: range) -> Callable[[], str | None] | None:
        """Return a function that names the guest's last store to a physical range; see `Subject.guest_store`."""
        heap = region("heap")
        if not heap.base <= where.start < where.stop <= heap.end:
            return None
        find = self._engine.store_finder(range(where.start - heap.base, where.stop - heap.base))
        if find is None:
            return None

        def name() -> str | None:
            from enclave_sim.payload.wasm.places import store_text  # noqa: PLC0415 - only a debugger needs it

            with SignalsHeld():
                store = find()
            return None if store is None else store_text(store.module, store.offset)

        return name

    def last_writer(self, where: range) -> str | None:
        """Return text that names the guest's function that last stored to a physical range; None if it is not found."""
        find = self.guest_store(where)
        return None if find is None else find()

    def save_state(self) -> State:
        """See `Stateful`."""
        return super().save_state() | {"rejection": self.rejection}

    def load_state(self, state: State) -> None:
        """See `Stateful`."""
        super().load_state(state)
        self.rejection = state["rejection"]

    def save_portable(self) -> State:
        """Return the modules and their state, in plain values that another VMM can load."""
        engine = self._engine.save_state()
        progress = engine["progress"]
        return {
            "anchors": anchor_list.pack(self._anchors),
            "verified": tuple(self._verified),
            "admitted": len(engine["payloads"]),
            "progress": None if progress is None else progress.plain(engine["payloads"]),
            "guest_lives": self._guest_lives,
        }

    def load_portable(self, state: State) -> None:
        """Take over the state of another VMM. Its verified modules are compiled again."""
        self._anchors = anchor_list.unpack(state["anchors"])
        self._verified[:] = state["verified"]
        self._guest_lives = state["guest_lives"]
        for module, code in self._verified[: state["admitted"]]:
            if code is None:
                self._engine.admit(module, None, None)
            else:
                self._engine.admit(module, code.code, code.fingerprint)
        self._engine.load_progress(state["progress"])

    def _reject(self, payload: int, rejected: PayloadRejected) -> int:
        self.rejection = rejected
        self._emit(events.PayloadRejected, payload, rejected.check.name, rejected.message)
        return REFUSED
