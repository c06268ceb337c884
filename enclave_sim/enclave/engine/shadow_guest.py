"""A shadow guest repeats another one, in its own memory, to find information hidden from outside.

Its run depends only on fuel and answers, and ends at the same position. wasmtime reports frames only for a trap, so for
a backtrace it is made to trap there: a host call is answered with a trap, and if the first guest was preempted, the
second runs out of fuel. To find the last store, its module is rewritten to note its stores.
"""

import weakref

from wasmtime import InstancePre, Linker, Module

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.engine.compilation import compile_module
from enclave_sim.enclave.engine.contract import Frame, GuestStore, HeapWindow
from enclave_sim.enclave.engine.coroutine import Guest, HostCalls
from enclave_sim.enclave.engine.linear_memory import LinearMemory
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.progress import CHECKPOINT_NS, GuestPosition
from enclave_sim.enclave.engine.wasmtime_settings import GUARD_BYTES, RESERVATION_BYTES, new_engine
from enclave_sim.enclave.host_limit import poll_host_limit
from enclave_sim.payload.wasm.store_notes import NotingModule, noting
from machine.bus.host_memory import HostMemory

_MAX_NOTED = 1 << 19
"""The largest instrumented module, in bytes, that is compiled: it takes a second."""


class ShadowGuest:
    """Repeats the guests of one engine, given its profile, its heap size and whether it checks bounds."""

    def __init__(
        self, heap_bytes: int, profile: GuestProfile, cancellation: Cancellation, *, check_bounds: bool
    ) -> None:
        self._cancellation = cancellation
        self._memory = HostMemory(heap_bytes, 0 if check_bounds else RESERVATION_BYTES + GUARD_BYTES)
        linear = LinearMemory(HeapWindow(self._memory.address, heap_bytes, self._memory.reserve))
        self._engine = new_engine(profile, linear, check_bounds=check_bounds)
        self._calls = HostCalls()
        self._linker = Linker(self._engine)
        callbacks = self._calls.define(self._linker)
        self._prepared: dict[bytes, InstancePre] = {}
        """By module."""
        self._noting: dict[bytes, NotingModule] = {}
        """The module that notes its stores, by the original one."""
        weakref.finalize(self, _close, self._prepared, (self._engine, linear, callbacks))

    def frames(self, instance_pre: InstancePre, module: bytes, place: GuestPosition) -> tuple[Frame, ...]:
        """Find the active calls in a guest of `module` that is suspended at a position. Raises Cancelled.

        Returns:
            The calls, the innermost first; none if the guest does not reach the position again.
        """
        prepared = self._prepare(instance_pre, module)
        self._memory.zero(0, self._memory.size)
        fuel = () if place.waits else (place.spent,)
        guest = Guest(self._engine, self._calls, prepared, module, *fuel)
        try:
            answers = iter(place.answers)
            while not guest.over and guest.spent <= place.spent:
                self._cancellation.poll()
                poll_host_limit()
                result = 0
                if guest.waits:
                    answer = next(answers, None)
                    if answer is None:
                        self._calls.interrupt()
                    else:
                        result = answer
                guest.resume(result, min(place.spent + 1 - guest.spent, CHECKPOINT_NS))
            is_there = guest.spent == place.spent and next(answers, None) is None
            return guest.frames if is_there else ()
        finally:
            guest.drop()

    def last_store(
        self, module: bytes, memory_bytes: int, place: GuestPosition, where: range, content: bytes
    ) -> GuestStore | None:
        """Find the last store of a guest to a range of the heap before a position.

        Args:
            module: The module of the guest.
            memory_bytes: The size of its linear memory, which is at the end of the heap.
            place: The position that the guest has reached.
            where: The range, as offsets in the heap.
            content: The content of the range at the position.

        Returns:
            The store; None if the guest does not reach the position again with the same content, if it never reached
            its own code, or if its module is too large.

        Raises:
            Cancelled: The token was cancelled.
        """
        names = self._note(module)
        if names is None:
            return None
        prepared = self._prepared[names.module]
        self._memory.zero(0, self._memory.size)
        first = self._memory.size - memory_bytes
        preset = {names.start: max(where.start - first, 0), names.end: max(where.stop - first, 0)}
        guest = Guest(self._engine, self._calls, prepared, names.module, preset=preset)
        try:
            answers, spent = iter(place.answers), 0
            while not guest.over:
                self._cancellation.poll()
                poll_host_limit()
                result = 0
                if guest.waits:
                    answer = next(answers, None)
                    if answer is None:
                        break
                    result = answer
                elif guest.started and not place.waits and not place.over and spent >= place.spent:
                    break
                # Inserted code only makes the guest spend more, so it cannot get past the place at which it yields.
                left = place.spent - spent if place.spent > spent else CHECKPOINT_NS
                guest.resume(result, min(left, CHECKPOINT_NS))
                if not guest.entered:
                    return None
                spent = guest.spent - guest.read_global(names.fuel)
            is_there = next(answers, None) is None and (guest.waits, guest.over) == (place.waits, place.over)
            if not is_there or not (place.over or spent == place.spent):
                return None
            if not self._memory.equals(where.start, content):
                return None
            return GuestStore(module, guest.read_global(names.writer) or None)
        finally:
            guest.drop()

    def _note(self, module: bytes) -> NotingModule | None:
        """Return a module that notes its stores; None if compiling it, which cannot be cancelled, would take long."""
        if module not in self._noting:
            if len(module) > _MAX_NOTED:
                return None
            made = noting(module)
            if len(made.module) > _MAX_NOTED:
                return None
            self._prepared[made.module] = self._linker.instantiate_pre(compile_module(self._engine, made.module))
            self._noting[module] = made
        return self._noting[module]

    def _prepare(self, instance_pre: InstancePre, module: bytes) -> InstancePre:
        if module not in self._prepared:
            code = instance_pre.module.serialize()
            self._prepared[module] = self._linker.instantiate_pre(Module.deserialize(self._engine, code))
        return self._prepared[module]


def _close(prepared: dict[bytes, InstancePre], _keep: tuple[object, ...]) -> None:
    """Close the modules. At exit this must happen while wasmtime's Python module still exists."""
    while prepared:
        prepared.popitem()[1].close()
