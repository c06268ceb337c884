"""The default guest engine: wasmtime, which compiles before the guest starts, with the guest as a coroutine.

Virtual time is fuel: one unit, about one WebAssembly instruction, is one nanosecond. Preemption happens at loop
headers, function entries and `memory.grow`; straight-line code overruns the budget, and the overrun is accounted for.
MEMORY.COPY and MEMORY.FILL take one unit per byte: they are done at once, and that time passes before anything else
happens. The depth at which the stack overflows is repeatable, but it is a property of the compiled code: on another
kind of processor frames have another size.
"""

import ctypes
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from wasmtime import InstancePre, Linker, Module

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.engine.compilation import compile_ahead, compile_module, load_code
from enclave_sim.enclave.engine.contract import Backtrace, Departure, HeapWindow, StoreFinder
from enclave_sim.enclave.engine.coroutine import Guest, HostCalls
from enclave_sim.enclave.engine.fault_signals import let_wasmtime_handle_faults
from enclave_sim.enclave.engine.linear_memory import LinearMemory
from enclave_sim.enclave.engine.profile import GuestProfile, check
from enclave_sim.enclave.engine.progress import CHECKPOINT_NS, Admitted, GuestPosition, Progress
from enclave_sim.enclave.engine.wasmtime_settings import GUARD_BYTES, RESERVATION_BYTES, fingerprint, new_engine
from enclave_sim.enclave.host_limit import poll_host_limit
from machine.errors import EmulatorFault
from machine.state import State

if TYPE_CHECKING:
    from enclave_sim.enclave.engine.shadow_guest import ShadowGuest

__all__ = ["WasmtimeEngine", "compile_ahead", "fingerprint"]


class WasmtimeEngine:
    """The engine of one enclave, which runs one guest at a time.

    The memory of `window` must outlive the engine. If its reserve is too small, code checks bounds. `cancellation` is
    polled while a guest is re-executed; if that is cancelled, it happens when the guest is next resumed. `portable` is
    that of `MachineConfiguration`.
    """

    def __init__(
        self,
        window: HeapWindow,
        profile: GuestProfile,
        cancellation: Cancellation | None = None,
        *,
        portable: bool = False,
    ) -> None:
        self._profile = profile
        self._cancellation = cancellation or Cancellation()
        self._portable = portable
        self._check_bounds = window.reserve < RESERVATION_BYTES + GUARD_BYTES
        self._calls = HostCalls()
        memory = LinearMemory(window if not self._check_bounds else HeapWindow(window.host_address, window.size, 0))
        self._engine = new_engine(profile, memory, check_bounds=self._check_bounds)
        self._linker = Linker(self._engine)
        callbacks = self._calls.define(self._linker)
        self._payloads: list[Admitted] = []
        self._guests: list[Guest] = []
        self._compiled: weakref.WeakSet[InstancePre] = weakref.WeakSet()
        """All payloads, those in snapshots too: at exit they must be closed before wasmtime's module is gone."""
        self._instantiated = 0
        self._made_of: Admitted
        """The payload of the current guest."""
        self._window = window
        self._answers: list[int] = []
        """Answers to the guest's host calls. The list is only appended to, because states share it."""
        self._owed: Progress | None = None
        """The progress to which the guest must catch up when it is resumed."""
        self._trapped_at: Backtrace | None = None
        """The place at which the last, dropped guest trapped, if it did."""
        self._shadow: ShadowGuest | None = None
        # A guest still suspended when the engine is freed is unwound first, while its callbacks exist.
        weakref.finalize(self, _drop_all, self._guests, self._compiled, (self._engine, memory, callbacks))

    def admit(self, module: bytes, code: bytes | None, made_by: bytes | None = None) -> int:
        """Compile a module, or load the code that its signer compiled.

        Raises PayloadRejected for a module outside the profile or the contract, or code of another engine.

        Args:
            module: The module.
            code: Native code, which must have been authenticated because it runs unchecked. None to compile the module.
            made_by: The fingerprint of the engine that compiled the code.

        Returns:
            The number of the payload, from 0.
        """
        if code is None:
            compiled = compile_module(self._engine, module)
        else:
            right = fingerprint(self._profile, check_bounds=self._check_bounds)
            compiled = load_code(self._engine, module, code, made_by, right)
        size = check(module, compiled, self._profile)
        self._payloads.append(Admitted(self._prepare(compiled), module, size))
        return len(self._payloads) - 1

    def replace(self, payload: int, module: bytes) -> int:
        """Compile another module for an admitted payload. Its guest is recreated if it has not started.

        Raises PayloadRejected for a module outside the profile or the contract.

        Args:
            payload: The number of the payload.
            module: The module.

        Returns:
            The size of its memory in bytes.

        Raises:
            ValueError: There is no such payload.
        """
        if not 0 <= payload < len(self._payloads):
            raise ValueError(f"there is no payload {payload}; {len(self._payloads)} were admitted")
        self._payloads[payload] = self._admitted(module)
        waiting = self._owed.payload if self._owed is not None and not self._owed.started else None
        if self._guests and not self._guests[0].started:
            waiting = self._instantiated
        if waiting == payload:
            self.instantiate(payload)
        return self._payloads[payload].memory_bytes

    def _admitted(self, module: bytes) -> Admitted:
        compiled = compile_module(self._engine, module)
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
        guest = Guest(self._engine, self._calls, made_of.prepared, made_of.module, portable=self._portable)
        self._guests.append(guest)

    def resume(self, result: int, budget_ns: int) -> Departure:
        """Run the guest until it departs; see `GuestEngine.resume`.

        Signals must be deferred (`deferred_signals`), as in `Machine.run`.

        Returns:
            The reason for the departure.

        Raises:
            ValueError: There is no guest, or it is over.
        """
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
        """Bring the guest to its position in a loaded state; see `GuestEngine.catch_up`.

        Raises EmulatorFault if anything else has changed the guest's memory, and Cancelled, which changes nothing.
        """
        if self._owed is None:
            return
        if not self._owed.started:
            self._make(self._owed.payload, self._owed.made_of)
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
        """Run a fresh guest to another guest's position: fuel and answers make it repeat that run exactly."""
        self._make(owed.payload, owed.made_of)
        guest, answers, result = self._guests[0], owed.answers[: owed.answered], 0
        while not guest.over and guest.spent <= owed.spent:
            if guest.spent == owed.spent and guest.waits == owed.waits and len(self._answers) == owed.answered:
                if ctypes.string_at(start, len(memory)) == memory:
                    return
                break
            self._cancellation.poll()
            poll_host_limit()
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
        """Find the guest's place, or the place at which the last one trapped.

        It changes nothing. The run of a suspended guest is repeated, which takes as long as it has computed. Signals
        must be deferred, as for `resume`. Raises Cancelled.

        Returns:
            The backtrace; None if it is unknown. A guest whose memory was changed from outside cannot be repeated.
        """
        progress = self._progress()
        if progress is None or not progress.started:
            return self._last_trap()
        place = GuestPosition(progress.spent, progress.waits, progress.answers[: progress.answered])
        prepared, module, _ = progress.made_of
        frames = self._shadow_guest().frames(prepared, module, place)
        return Backtrace(module, frames) if frames else None

    def store_finder(self, where: range) -> StoreFinder | None:
        """Return a function that finds the guest's last store so far to a range of the heap.

        Signals must be deferred when it is called, as for `resume`.

        Args:
            where: The range, as offsets in the heap.

        Returns:
            The function; None if no guest has run, or the range is outside its memory.
        """
        if self._owed is not None or not self._guests or not self._guests[0].started:
            return None
        guest, made_of = self._guests[0], self._made_of
        if where.stop <= self._window.size - made_of.memory_bytes:
            return None
        place = GuestPosition(guest.spent, guest.waits, tuple(self._answers), guest.over)
        content = ctypes.string_at(self._window.host_address + where.start, len(where))
        return lambda: self._shadow_guest().last_store(made_of.module, made_of.memory_bytes, place, where, content)

    def _shadow_guest(self) -> "ShadowGuest":
        if self._shadow is None:
            from enclave_sim.enclave.engine.shadow_guest import ShadowGuest  # noqa: PLC0415 - only a debugger needs it

            self._shadow = ShadowGuest(
                self._window.size, self._profile, self._cancellation, check_bounds=self._check_bounds
            )
        return self._shadow

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
        """Bring a guest to the position of another one, given the result of `Progress.plain`."""
        if progress is not None:
            payload, module, *rest = progress
            self._owed = Progress(payload, self._payloads[payload] if module is None else self._admitted(module), *rest)

    def load_state(self, state: State) -> None:
        """See `GuestEngine.load_state`."""
        self.destroy()
        self._payloads[:] = state["payloads"]
        self._owed = state["progress"]
        self._trapped_at = state["trapped_at"]


def _drop_all(
    guests: list[Guest], compiled: Iterable[InstancePre] = (), _keep: tuple[object, ...] | None = None
) -> None:
    while guests:
        guests.pop().drop()
    for prepared in list(compiled):
        prepared.close()
