"""Places a guest's linear memory at the end of the guest heap: the machine's RAM and the guest's memory are one.

wasmtime asks a memory creator for memory. What follows the heap in this process is inaccessible, so that an access
out of bounds faults at the very byte and becomes a trap; where the host could not reserve that, the engine is
configured to check bounds itself.
"""

import ctypes
from typing import Any

from wasmtime import Config
from wasmtime import _ffi as ffi

from enclave_sim.engine.contract import HeapWindow

_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


class LinearMemory:
    """The memory creator of one engine. A guest has at most one memory; it never grows."""

    def __init__(self, window: HeapWindow) -> None:
        self._window = window
        self._size = 0
        self._address = window.host_address + window.size
        self._new = ffi.wasmtime_new_memory_callback_t(self._create)
        self._get = ffi.wasmtime_memory_get_callback_t(self._where)
        self._grow = ffi.wasmtime_memory_grow_callback_t(self._refuse_to_grow)
        self._creator = ffi.wasmtime_memory_creator_t(env=None, new_memory=self._new, finalizer=_NO_FINALIZER)

    def attach(self, config: Config) -> None:
        """Let an engine's memories be made here. Linear memory must not be initialised by mapping: that aborts."""
        config.memory_init_cow = False
        config.memory_may_move = False
        if not self._window.reserve:
            config.memory_reservation = 0
            config.memory_guard_size = 0
            config.memory_reservation_for_growth = 0
        ffi.wasmtime_config_host_memory_creator_set(config.ptr(), ctypes.byref(self._creator))

    def _create(self, _env: Any, _type: Any, minimum: int, _maximum: int, reserved: int, guard: int, out: Any) -> int:
        if minimum > self._window.size or (self._window.reserve and reserved + guard > self._window.reserve):
            return self._error("the memory does not fit the guest heap")
        self._size = minimum
        self._address = self._window.host_address + self._window.size - minimum
        slot = out[0]
        slot.env, slot.finalizer = None, _NO_FINALIZER
        slot.get_memory, slot.grow_memory = self._get, self._grow
        return 0

    def _where(self, _env: Any, size: Any, capacity: Any) -> int:
        size[0] = capacity[0] = self._size
        return self._address

    def _refuse_to_grow(self, _env: Any, _size: int) -> int:
        return self._error("the memory is fixed at its declared minimum")

    @staticmethod
    def _error(message: str) -> int:
        return ctypes.cast(ffi.wasmtime_error_new(message.encode()), ctypes.c_void_p).value or 0
