"""Where a suspended guest is: wasmtime tells the frames of a trap only, so a second guest is made to trap there.

It repeats the first one, which fuel and answers alone determine, in memory of its own, and ends at the same place: a
host call is answered with a trap, and where the first one was preempted its fuel is used up.
"""

import weakref
from collections.abc import Sequence
from typing import NamedTuple

from wasmtime import InstancePre, Linker, Module

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.engine.contract import Frame, HeapWindow
from enclave_sim.enclave.engine.coroutine import Guest, HostCalls
from enclave_sim.enclave.engine.linear_memory import LinearMemory
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.wasmtime_settings import GUARD_BYTES, RESERVATION_BYTES, new_engine
from machine.bus.host_memory import HostMemory

CHECKPOINT_NS = 10_000_000
"""Fuel, in ns, from one checkpoint of a run that is repeated to the next."""


class Place(NamedTuple):
    """How far a guest is."""

    spent: int
    """Fuel."""
    waits: bool
    """In a host call; else it was preempted."""
    answers: Sequence[int]
    """Of the host calls before."""


class SecondGuest:
    """Repeats guests of one engine: one of this profile, with a heap of so many bytes, checking bounds or not."""

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
        weakref.finalize(self, _close, self._prepared, (self._engine, linear, callbacks))

    def frames(self, instance_pre: InstancePre, module: bytes, place: Place) -> tuple[Frame, ...]:
        """The calls under way in a guest of `module` that is suspended at a place, the innermost first.

        Nothing where it does not come there again. Raises Cancelled.
        """
        prepared = self._prepare(instance_pre, module)
        self._memory.zero(0, self._memory.size)
        fuel = () if place.waits else (place.spent,)
        guest = Guest(self._engine, self._calls, prepared, module, *fuel)
        try:
            answers = iter(place.answers)
            while not guest.over and guest.spent <= place.spent:
                self._cancellation.poll()
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

    def _prepare(self, instance_pre: InstancePre, module: bytes) -> InstancePre:
        if module not in self._prepared:
            code = instance_pre.module.serialize()
            self._prepared[module] = self._linker.instantiate_pre(Module.deserialize(self._engine, code))
        return self._prepared[module]


def _close(prepared: dict[bytes, InstancePre], _keep: tuple[object, ...]) -> None:
    """At exit they must be closed before wasmtime's module is gone."""
    while prepared:
        prepared.popitem()[1].close()
