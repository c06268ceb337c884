"""The linear memory of guests, at the end of the guest heap: it is part of the machine's RAM.

wasmtime asks a memory creator for memory. The address space after the heap is inaccessible in this process, so that an
out-of-bounds access faults at the exact byte and becomes a trap. If the host could not reserve that space, the compiled
code checks bounds itself.
"""

import ctypes
from typing import Any

from wasmtime import Config
from wasmtime import _ffi as ffi

from enclave_sim.enclave.engine.contract import HeapWindow

NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
"""The null pointer, as a finalizer for wasmtime."""


class LinearMemory:
    """The memory creator of one engine; keep it as long as the engine.

    A guest has one memory; it never grows. With reference types wasmtime also requests an empty memory, for objects
    that no guest here can make.
    """

    def __init__(self, window: HeapWindow) -> None:
        # The callbacks hold no reference to this object, so that it is freed when dropped.
        end, heap_bytes, reserve = window.host_address + window.size, window.size, window.reserve

        def create(_env: Any, _type: Any, minimum: int, _maximum: int, reserved: int, guard: int, out: Any) -> int:
            if minimum > heap_bytes or reserved + guard > minimum + reserve:
                return _error(f"a memory of {minimum} bytes does not fit the guest heap of {heap_bytes}")
            memory = out[0]
            memory.env, memory.finalizer = minimum, NO_FINALIZER  # `where` needs nothing but the size
            memory.get_memory, memory.grow_memory = where_callback, grow_callback
            return 0

        def where(size: int | None, used: Any, capacity: Any) -> int:
            used[0] = capacity[0] = size or 0
            return end - (size or 0)

        def grow(_size: int | None, _new: int) -> int:
            return _error("the memory is fixed at its declared minimum")

        where_callback = ffi.wasmtime_memory_get_callback_t(where)
        grow_callback = ffi.wasmtime_memory_grow_callback_t(grow)
        self._creator = ffi.wasmtime_memory_creator_t(
            env=None, new_memory=ffi.wasmtime_new_memory_callback_t(create), finalizer=NO_FINALIZER
        )

    def attach(self, config: Config) -> None:
        """Make engines with this configuration get their memories here."""
        ffi.wasmtime_config_host_memory_creator_set(config.ptr(), ctypes.byref(self._creator))


def _error(message: str) -> int:
    return ctypes.cast(ffi.wasmtime_error_new(message.encode()), ctypes.c_void_p).value or 0
