"""Backtraces of a suspended guest. wasmtime reports frames only for a trap, so a shadow guest is made to trap there.

The shadow guest repeats the first one, whose run depends on fuel and answers alone, in memory of its own, and ends at
the same place: a host call is answered with a trap, and where the first guest was preempted, the fuel of the second is
used up.
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
from enclave_sim.enclave.host_limit import poll_host_limit
from machine.bus.host_memory import HostMemory

CHECKPOINT_NS = 10_000_000
"""Fuel, in ns, between two checkpoints of a run that is repeated."""


class GuestPosition(NamedTuple):
    """The position of a guest in its run."""

    spent: int
    """Fuel spent since its start, in ns."""
    waits: bool
    """True if it waits in a host call; else it was preempted."""
    answers: Sequence[int]
    """Answers to the host calls before."""


class ShadowGuest:
    """Repeats the guests of one engine, which has this profile, a heap of this size, and checks bounds or not."""

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

    def frames(self, instance_pre: InstancePre, module: bytes, place: GuestPosition) -> tuple[Frame, ...]:
        """Find the calls under way in a guest of `module` that is suspended at a position. Raises Cancelled.

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

    def _prepare(self, instance_pre: InstancePre, module: bytes) -> InstancePre:
        if module not in self._prepared:
            code = instance_pre.module.serialize()
            self._prepared[module] = self._linker.instantiate_pre(Module.deserialize(self._engine, code))
        return self._prepared[module]


def _close(prepared: dict[bytes, InstancePre], _keep: tuple[object, ...]) -> None:
    """Close the modules. At exit this must happen before wasmtime's own module is gone."""
    while prepared:
        prepared.popitem()[1].close()
