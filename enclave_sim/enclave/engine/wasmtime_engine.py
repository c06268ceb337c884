"""The default guest engine: wasmtime, compiling ahead of the guest's start, with the guest as a coroutine.

Virtual time is fuel: one unit, about one WebAssembly instruction, is one nanosecond. Preemption comes at loop headers,
at function entries and where memory is to grow; straight-line code and bulk memory operations overrun the budget and
are accounted.
How deep the stack goes before it overflows repeats exactly, but is a property of the compiled code: processors of
another kind have frames of another size.
"""

import ctypes
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from wasmtime import Engine, InstancePre, Linker, Module, WasmtimeError
from wasmtime import _ffi as ffi

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.engine.contract import Backtrace, Departure, HeapWindow
from enclave_sim.enclave.engine.coroutine import Guest, HostCalls
from enclave_sim.enclave.engine.fault_signals import let_wasmtime_handle_faults
from enclave_sim.enclave.engine.linear_memory import LinearMemory
from enclave_sim.enclave.engine.profile import GuestProfile, check, compile_error
from enclave_sim.enclave.engine.shadow_guest import CHECKPOINT_NS, Place, SecondGuest
from enclave_sim.enclave.engine.wasmtime_settings import GUARD_BYTES, RESERVATION_BYTES, fingerprint, new_engine
from enclave_sim.payload.errors import PayloadCheck, PayloadRejected
from machine.errors import EmulatorFault
from machine.state import State

__all__ = ["WasmtimeEngine", "compile_ahead", "fingerprint"]


def compile_ahead(module: bytes, profile: GuestProfile) -> tuple[bytes, bytes]:
    """Compile a module for this host; returns the engine's fingerprint and the code.

    The code relies on reserved address space behind the heap; an engine without it refuses the fingerprint.
    Raises PayloadRejected for a module outside the profile or the contract.
    """
    memory = LinearMemory(HeapWindow(0, profile.max_heap_bytes, 0))
    compiled = _compile(new_engine(profile, memory, check_bounds=False), module)
    check(module, compiled, profile)
    return fingerprint(profile), bytes(compiled.serialize())


class Admitted(NamedTuple):
    """A payload that guests can be made of."""

    prepared: InstancePre
    module: bytes
    """What was compiled."""
    memory_bytes: int
    """Of its linear memory."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a guest is. Its stack lies in the host and cannot be copied; but it gets there again."""

    payload: int
    made_of: Admitted
    """What the payload was when the guest was made."""
    started: bool
    spent: int
    """Fuel."""
    waits: bool
    """In a host call."""
    answers: list[int]
    """Of its host calls, and perhaps of later ones."""
    answered: int
    """How many of them are its."""

    def plain(self, admitted: Sequence[Admitted]) -> tuple[Any, ...]:
        """Its fields as plain values that share nothing; the module only where the payload is another one by now."""
        module = None if admitted[self.payload] is self.made_of else self.made_of.module
        answers = self.answers[: self.answered]
        return (self.payload, module, self.started, self.spent, self.waits, answers, self.answered)


class WasmtimeEngine:
    """One engine for one enclave; one guest at a time.

    The memory of `window` must outlive the engine. Where its reserve is too small code checks bounds. `cancellation` is
    polled while a guest is run to where it was. What is cancelled then is done when the guest is resumed the next time.
    """

    def __init__(self, window: HeapWindow, profile: GuestProfile, cancellation: Cancellation | None = None) -> None:
        self._profile = profile
        self._cancellation = cancellation or Cancellation()
        self._check_bounds = window.reserve < RESERVATION_BYTES + GUARD_BYTES
        self._calls = HostCalls()
        memory = LinearMemory(window if not self._check_bounds else HeapWindow(window.host_address, window.size, 0))
        self._engine = new_engine(profile, memory, check_bounds=self._check_bounds)
        self._linker = Linker(self._engine)
        callbacks = self._calls.define(self._linker)
        self._payloads: list[Admitted] = []
        self._guests: list[Guest] = []
        self._compiled: weakref.WeakSet[InstancePre] = weakref.WeakSet()
        """All there are, in snapshots, too: at exit they must be closed before wasmtime's module is gone."""
        self._instantiated = 0
        self._made_of: Admitted
        """Of the guest there is."""
        self._window = window
        self._answers: list[int] = []
        """What the guest's host calls were answered with. Only ever appended to: states share it."""
        self._owed: Progress | None = None
        """Where the guest is to be, once it is resumed."""
        self._trapped_at: Backtrace | None = None
        """Where the last guest trapped, if it did, and was dropped."""
        self._second: SecondGuest | None = None
        # A guest still suspended when the engine goes is unwound first, with its callbacks alive.
        weakref.finalize(self, _drop_all, self._guests, self._compiled, (self._engine, memory, callbacks))

    def admit(self, module: bytes, code: bytes | None, made_by: bytes | None = None) -> int:
        """Compile a module, or load `code` that its signer compiled with the engine `made_by`.

        `code` must have been authenticated: it is run as it is. Returns the payload's number. Raises
        PayloadRejected for a module outside profile or contract, or code of another engine.
        """
        if code is None:
            compiled = _compile(self._engine, module)
        else:
            if made_by != fingerprint(self._profile, check_bounds=self._check_bounds):
                raise _foreign("it was compiled by another engine or for another processor")
            try:
                compiled = Module.deserialize(self._engine, code)
            except WasmtimeError as error:
                raise _foreign(str(error).splitlines()[0]) from None
        size = check(module, compiled, self._profile)
        self._payloads.append(Admitted(self._prepare(compiled), module, size))
        return len(self._payloads) - 1

    def replace(self, payload: int, module: bytes) -> int:
        """Compile another module for an admitted payload. Its guest is made afresh if it has not started.

        Returns the size of its memory in bytes. Raises PayloadRejected for a module outside profile or contract,
        ValueError for a payload that was not admitted.
        """
        if not 0 <= payload < len(self._payloads):
            raise ValueError(f"there is no payload {payload}; {len(self._payloads)} were admitted")
        self._payloads[payload] = self._admitted(module)
        if self._guests and not self._guests[0].started and self._instantiated == payload:
            self.instantiate(payload)
        return self._payloads[payload].memory_bytes

    def _admitted(self, module: bytes) -> Admitted:
        compiled = _compile(self._engine, module)
        size = check(module, compiled, self._profile)
        return Admitted(self._prepare(compiled), module, size)

    def _prepare(self, compiled: Module) -> InstancePre:
        prepared = self._linker.instantiate_pre(compiled)
        self._compiled.add(prepared)
        return prepared

    def instantiate(self, payload: int) -> int:
        """See `GuestEngine.instantiate`."""
        if not 0 <= payload < len(self._payloads):
            raise ValueError(f"there is no payload {payload}; {len(self._payloads)} were admitted")
        self._make(payload, self._payloads[payload])
        return self._made_of.memory_bytes

    def _make(self, payload: int, made_of: Admitted) -> None:
        self.destroy()
        let_wasmtime_handle_faults()
        self._answers, self._trapped_at = [], None
        self._instantiated, self._made_of = payload, made_of
        self._guests.append(Guest(self._engine, self._calls, made_of.prepared, made_of.module))

    def resume(self, result: int, budget_ns: int) -> Departure:
        """See `GuestEngine.resume`. Signals must be held (`deferred_signals`), as `Machine.run` does."""
        self.catch_up()
        if not self._guests:
            raise ValueError("there is no guest to resume; instantiate one")
        guest = self._guests[0]
        if guest.over:
            raise ValueError("the guest is over; instantiate a fresh one")
        if guest.waits:
            self._answers.append(result)
        return guest.resume(result, budget_ns)

    def catch_up(self) -> None:
        """See `GuestEngine.catch_up`. A guest whose memory others have changed meanwhile does not: EmulatorFault.

        Raises Cancelled, with all as it was.
        """
        if self._owed is None:
            return
        owed, size = self._owed, self._owed.made_of.memory_bytes
        start = self._window.host_address + self._window.size - size
        before = ctypes.string_at(start, size)
        try:
            ctypes.memset(start, 0, size)
            self._repeat(owed, start, before)
        except BaseException:
            ctypes.memmove(start, before, size)
            _drop_all(self._guests)
            self._owed = owed
            raise

    def _repeat(self, owed: Progress, start: int, memory: bytes) -> None:
        """Run a fresh guest until it is where another was: fuel and answers make it repeat that run exactly."""
        self._make(owed.payload, owed.made_of)
        guest, answers, result = self._guests[0], owed.answers[: owed.answered], 0
        while not guest.over and guest.spent <= owed.spent:
            if guest.spent == owed.spent and guest.waits == owed.waits and len(self._answers) == owed.answered:
                if ctypes.string_at(start, len(memory)) == memory:
                    return
                break
            self._cancellation.poll()
            if guest.waits:
                if len(self._answers) == owed.answered:
                    break
                result = answers[len(self._answers)]
                self._answers.append(result)
            guest.resume(result, min(max(owed.spent - guest.spent, 1), CHECKPOINT_NS))
        raise EmulatorFault(f"a guest came to {guest.spent} ns and not to {owed.spent} ns, or to other memory there")

    def destroy(self) -> None:
        """See `GuestEngine.destroy`."""
        self._trapped_at = self._last_trap()
        _drop_all(self._guests)
        self._owed = None

    def backtrace(self) -> Backtrace | None:
        """Find where the guest is, or where the last one trapped; None where neither is known. It changes nothing.

        A suspended guest is repeated up to there, which takes as long as it has computed. Signals must be held, as for
        `resume`. A guest whose memory others have changed cannot be repeated: where that is seen, there is no answer.
        Raises Cancelled.
        """
        progress = self._progress()
        if progress is None or not progress.started:
            return self._last_trap()
        if self._second is None:
            self._second = SecondGuest(
                self._window.size, self._profile, self._cancellation, check_bounds=self._check_bounds
            )
        place = Place(progress.spent, progress.waits, progress.answers[: progress.answered])
        prepared, module, _ = progress.made_of
        frames = self._second.frames(prepared, module, place)
        return Backtrace(module, frames) if frames else None

    def _last_trap(self) -> Backtrace | None:
        if self._guests and self._guests[0].frames:
            return Backtrace(self._guests[0].module, self._guests[0].frames)
        return self._trapped_at

    def save_state(self) -> State:
        """See `GuestEngine.save_state`."""
        return {"payloads": tuple(self._payloads), "progress": self._progress(), "trapped_at": self._last_trap()}

    def _progress(self) -> Progress | None:
        if self._owed is not None or not self._guests or self._guests[0].over:
            return self._owed
        guest = self._guests[0]
        fuel, answers = guest.spent, self._answers
        return Progress(self._instantiated, self._made_of, guest.started, fuel, guest.waits, answers, len(answers))

    def load_progress(self, progress: tuple[Any, ...] | None) -> None:
        """Have a guest as far as another was, by what `Progress.plain` gave."""
        if progress is not None:
            payload, module, *rest = progress
            self._load(Progress(payload, self._payloads[payload] if module is None else self._admitted(module), *rest))

    def load_state(self, state: State) -> None:
        """See `GuestEngine.load_state`."""
        self.destroy()
        self._payloads[:] = state["payloads"]
        self._load(state["progress"])
        self._trapped_at = state["trapped_at"]

    def _load(self, progress: Progress | None) -> None:
        if progress is not None and progress.started:
            self._owed = progress
        elif progress is not None:
            self._make(progress.payload, progress.made_of)


def _drop_all(
    guests: list[Guest], compiled: Iterable[InstancePre] = (), _keep: tuple[object, ...] | None = None
) -> None:
    while guests:
        guests.pop().drop()
    for prepared in list(compiled):
        prepared.close()


def _compile(engine: Engine, module: bytes) -> Module:
    """Compile a binary module. `Module` itself would also take the text format."""
    compiled = ctypes.POINTER(ffi.wasmtime_module_t)()
    error = ffi.wasmtime_module_new(
        engine.ptr(), (ctypes.c_uint8 * len(module)).from_buffer_copy(module), len(module), ctypes.byref(compiled)
    )
    if error:
        raise compile_error(WasmtimeError._from_ptr(error))
    return Module._from_ptr(compiled)


def _foreign(reason: str) -> PayloadRejected:
    message = f"the artefact's code is not for this engine: {reason}; compile it again, or run the plain module"
    return PayloadRejected(PayloadCheck.ARTEFACT_FOREIGN, message)
