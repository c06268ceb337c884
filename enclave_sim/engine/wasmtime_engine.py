"""The default guest engine: wasmtime, with the guest as a coroutine.

`resume` runs the guest on a stack of its own until it calls the host, traps, returns or has used up its budget;
then control is back in Python, and nothing of the machine runs inside a call from WebAssembly. Virtual time is fuel:
one unit, about one WebAssembly instruction, is one nanosecond. Preemption comes at loop headers and function entries.
"""

import ctypes
import faulthandler
import hashlib
import importlib.metadata
import platform
import sys
from typing import Any

from wasmtime import Config, Engine, FuncType, Instance, Linker, Module, Store, Trap, TrapCode, ValType, WasmtimeError
from wasmtime import _ffi as ffi

from enclave_sim.engine.contract import (
    Departure,
    HeapWindow,
    HostCall,
    Preempted,
    Returned,
    TrapKind,
    Trapped,
)
from enclave_sim.engine.linear_memory import LinearMemory
from enclave_sim.engine.profile import CONTRACT, ENTRY, NAMESPACE, STACK_BYTES, GuestProfile, check, compile_error
from enclave_sim.payload.errors import PayloadCheck, PayloadRejected
from enclave_sim.specification import HostFunction

_FUEL = 2**62
_LONGEST_BUDGET = 2**32
_ASYNC_STACK_BYTES = 4 << 20
_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
_I32 = 0
_TRAPS = {
    TrapCode.STACK_OVERFLOW: (TrapKind.STACK_OVERFLOW, "call stack exhausted"),
    TrapCode.MEMORY_OUT_OF_BOUNDS: (TrapKind.MEMORY_OUT_OF_BOUNDS, "out of bounds memory access"),
    TrapCode.TABLE_OUT_OF_BOUNDS: (TrapKind.ILLEGAL, "out of bounds table access"),
    TrapCode.INDIRECT_CALL_TO_NULL: (TrapKind.ILLEGAL, "uninitialized element"),
    TrapCode.BAD_SIGNATURE: (TrapKind.ILLEGAL, "indirect call type mismatch"),
    TrapCode.INTEGER_OVERFLOW: (TrapKind.DIVIDE, "integer overflow"),
    TrapCode.INTEGER_DIVISION_BY_ZERO: (TrapKind.DIVIDE, "integer divide by zero"),
    TrapCode.BAD_CONVERSION_TO_INTEGER: (TrapKind.ILLEGAL, "invalid conversion to integer"),
    TrapCode.UNREACHABLE: (TrapKind.ILLEGAL, "unreachable"),
}


def _configuration(profile: GuestProfile, memory: LinearMemory | None, *, check_bounds: bool) -> Config:
    """One configuration for running and for compiling ahead: only the memory creator differs."""
    if not faulthandler.is_enabled() and sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)  # before the first engine, or a fault of the guest ends the process
    config = Config()
    config.consume_fuel = True
    config.cranelift_nan_canonicalization = True
    config.parallel_compilation = False
    config.max_wasm_stack = STACK_BYTES
    profile.apply(config)
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), _ASYNC_STACK_BYTES)
    if memory is not None:
        memory.attach(config)
    else:
        LinearMemory(HeapWindow(0, 0, 0 if check_bounds else 1)).attach(config)
    return config


def fingerprint(profile: GuestProfile, *, check_bounds: bool = False) -> bytes:
    """32 bytes that name the engine compiled code is for: wasmtime, the processor, and all that shapes the code."""
    words = {
        "wasmtime": importlib.metadata.version("wasmtime"),
        "machine": platform.machine(),
        "system": platform.system(),
        "stack": STACK_BYTES,
        "check_bounds": check_bounds,
        **profile.settings(),
    }
    return hashlib.sha256("\n".join(f"{name}={value}" for name, value in words.items()).encode()).digest()


def compile_ahead(module: bytes, profile: GuestProfile) -> tuple[bytes, bytes]:
    """Compile a module for this host; returns the engine's fingerprint and the code.

    Raises PayloadRejected for a module outside the profile or the contract.
    """
    window = HeapWindow(0, profile.max_heap_bytes, 1)
    memory = LinearMemory(window)
    engine = Engine(_configuration(profile, memory, check_bounds=False))
    try:
        compiled = Module(engine, module)
    except WasmtimeError as error:
        raise compile_error(error) from None
    check(module, compiled, profile)
    return fingerprint(profile), bytes(compiled.serialize())


class WasmtimeEngine:
    """One engine for one enclave; one guest at a time."""

    def __init__(self, window: HeapWindow, profile: GuestProfile) -> None:
        self._profile = profile
        self._check_bounds = not window.reserve
        self._memory = LinearMemory(window)
        self._engine = Engine(_configuration(profile, self._memory, check_bounds=self._check_bounds))
        self._modules: list[tuple[Module, int]] = []
        self._linker = Linker(self._engine)
        self._calls: dict[str, _HostFunction] = {
            name: _HostFunction(self, number, *signature) for name, (number, signature) in CONTRACT.items()
        }
        for name, function in self._calls.items():
            function.define(self._linker, name)
        self._guest: _Guest | None = None
        self._selected: int | None = None
        self.waiting: tuple[HostFunction, int] | None = None
        """The host call the guest is suspended in, and its argument."""
        self.answer: int | None = None
        """The answer that lets it go on."""

    def admit(self, module: bytes, code: bytes | None, made_by: bytes | None = None) -> int:
        """Compile a module, or load `code` that its signer compiled with the engine `made_by`.

        `code` must have been authenticated: it is run as it is. Returns the payload's number. Raises
        PayloadRejected for a module outside profile or contract, or code of another engine.
        """
        try:
            if code is None:
                compiled = Module(self._engine, module)
            else:
                if made_by != fingerprint(self._profile, check_bounds=self._check_bounds):
                    raise _foreign("it was compiled by another engine or for another processor")
                compiled = Module.deserialize(self._engine, code)
        except WasmtimeError as error:
            raise (compile_error(error) if code is None else _foreign(str(error).splitlines()[0])) from None
        self._modules.append((compiled, check(module, compiled, self._profile)))
        return len(self._modules) - 1

    def instantiate(self, payload: int) -> int:
        """See `GuestEngine.instantiate`."""
        self.destroy()
        self._selected = payload
        return self._modules[payload][1]

    def resume(self, result: int, budget_ns: int) -> Departure:
        """See `GuestEngine.resume`."""
        if self._guest is None:
            if self._selected is None:
                raise ValueError("there is no guest to resume")
            self._guest = _Guest(self, self._engine, self._linker, self._modules[self._selected][0])
        elif self.waiting is not None:
            self.answer = result
        return self._guest.run(max(1, min(budget_ns, _LONGEST_BUDGET)))

    def destroy(self) -> None:
        """See `GuestEngine.destroy`."""
        guest, self._guest, self._selected = self._guest, None, None
        self.waiting = self.answer = None
        if guest is not None:
            guest.drop()


def _foreign(reason: str) -> PayloadRejected:
    message = f"the artefact's code is not for this engine: {reason}; compile it again, or run the plain module"
    return PayloadRejected(PayloadCheck.ARTEFACT_FOREIGN, message)


class _HostFunction:
    """An import that suspends the guest until `resume` answers it."""

    def __init__(
        self, engine: WasmtimeEngine, number: HostFunction, parameters: tuple[str, ...], results: tuple[str, ...]
    ) -> None:
        self._engine = engine
        self._number = number
        self._parameters, self._results = len(parameters), len(results)
        self._slot: Any = None
        self._called = ffi.wasmtime_func_async_callback_t(self._call)
        self._answered = ffi.wasmtime_func_async_continuation_callback_t(self._is_answered)

    def define(self, linker: Linker, name: str) -> None:
        """Provide this function under its name."""
        kind = FuncType([ValType.i32()] * self._parameters, [ValType.i32()] * self._results)
        module, field = NAMESPACE.encode(), name.encode()
        error = ffi.wasmtime_linker_define_async_func(
            linker.ptr(),
            ctypes.create_string_buffer(module),
            len(module),
            ctypes.create_string_buffer(field),
            len(field),
            kind.ptr(),
            self._called,
            None,
            _NO_FINALIZER,
        )
        if error:
            raise WasmtimeError._from_ptr(error)

    def _call(
        self, _env: Any, _caller: Any, arguments: Any, count: int, results: Any, _n: int, _trap: Any, then: Any
    ) -> None:
        argument = arguments[0].of.i32 & 0xFFFF_FFFF if count else 0
        self._engine.waiting = (self._number, argument)
        self._slot = results
        continuation = then[0]
        continuation.callback, continuation.env, continuation.finalizer = self._answered, None, _NO_FINALIZER

    def _is_answered(self, _env: Any) -> bool:
        answer = self._engine.answer
        if answer is None:
            return False
        if self._results:
            slot = self._slot[0]
            slot.kind, slot.of.i32 = _I32, answer & 0xFFFF_FFFF
        self._engine.waiting = self._engine.answer = None
        return True


class _Guest:
    """One instance of a module, from its instantiation to its end."""

    def __init__(self, engine: WasmtimeEngine, wasmtime_engine: Engine, linker: Linker, module: Module) -> None:
        self._engine = engine
        self._linker = linker
        self._module = module
        self._store = Store(wasmtime_engine)
        self._store.set_fuel(_FUEL)
        self._context = self._store._context()
        self._future: Any = None
        self._trap = ctypes.POINTER(ffi.wasm_trap_t)()
        self._error = ctypes.POINTER(ffi.wasmtime_error_t)()
        self._fuel = ctypes.c_uint64(_FUEL)
        self._fuel_pointer = ctypes.byref(self._fuel)

    def run(self, budget: int) -> Departure:
        """Go on for about `budget` units of fuel."""
        if self._future is None:
            trapped = self._instantiate()
            if trapped is not None:
                return trapped
            self._start()
        error = ffi.wasmtime_context_fuel_async_yield_interval(self._context, budget)
        if error:
            raise WasmtimeError._from_ptr(error)
        before = self._fuel.value
        finished = ffi.wasmtime_call_future_poll(self._future)
        waiting = self._engine.waiting
        ffi.wasmtime_context_get_fuel(self._context, self._fuel_pointer)
        elapsed = before - self._fuel.value
        if finished:
            self._delete_future()
            return self._ended(elapsed) or Returned(elapsed)
        if waiting is not None:
            return HostCall(waiting[0], waiting[1], elapsed)
        return Preempted(elapsed)

    def drop(self) -> None:
        """Free everything; a suspended guest is unwound."""
        self._delete_future()
        self._store.close()

    def _instantiate(self) -> Trapped | None:
        self._instance = ffi.wasmtime_instance_t()
        future = ffi.wasmtime_linker_instantiate_async(
            self._linker.ptr(),
            self._context,
            self._module.ptr(),
            ctypes.byref(self._instance),
            ctypes.byref(self._trap),
            ctypes.byref(self._error),
        )
        while not ffi.wasmtime_call_future_poll(future):
            pass
        ffi.wasmtime_call_future_delete(future)
        return self._ended(0)

    def _start(self) -> None:
        exports = Instance._from_raw(self._instance).exports(self._store)
        self._entry = exports[ENTRY]
        self._arguments, self._results = (ffi.wasmtime_val_t * 1)(), (ffi.wasmtime_val_t * 1)()
        self._future = ffi.wasmtime_func_call_async(
            self._context,
            ctypes.byref(self._entry._func),  # type: ignore[union-attr]
            self._arguments,
            0,
            self._results,
            0,
            ctypes.byref(self._trap),
            ctypes.byref(self._error),
        )

    def _ended(self, elapsed: int) -> Trapped | None:
        """What a future that is over has left behind."""
        if self._trap:
            trap = Trap._from_ptr(self._trap)
            self._trap = ctypes.POINTER(ffi.wasm_trap_t)()
            code = trap.trap_code
            if code not in _TRAPS:
                raise WasmtimeError(f"a trap that the profile does not know: {code}")
            kind, detail = _TRAPS[code]
            return Trapped(kind, detail, elapsed)
        if self._error:
            raise WasmtimeError._from_ptr(self._error)
        return None

    def _delete_future(self) -> None:
        if self._future is not None:
            ffi.wasmtime_call_future_delete(self._future)
            self._future = None
