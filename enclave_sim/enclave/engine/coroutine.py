"""A guest as a coroutine: it runs on its own stack until it calls the host, traps, returns or is preempted.

Then control returns to Python; nothing of the machine runs inside a call from WebAssembly.

Time is fuel. wasmtime accounts for fuel at function calls and yields, not before every instruction that can trap.
After a trap inside a loop the fuel is that of the last such place, and would depend on earlier preemptions. So a run is
cut at every full slice of fuel, and the time of such a trap is the end of its slice. That time is the same for all
budgets. It is later than the trap, or earlier by no more than the code between two loop headers.
"""

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from wasmtime import Engine, FuncType, InstancePre, Linker, Trap, TrapCode, ValType, WasmtimeError
from wasmtime import _ffi as ffi

from enclave_sim.enclave.engine.contract import Departure, Frame, HostCall, Preempted, Returned, TrapKind, Trapped
from enclave_sim.enclave.engine.linear_memory import NO_FINALIZER
from enclave_sim.enclave.engine.native import ENTRY_POINTS, PACKAGE
from enclave_sim.enclave.engine.profile import CONTRACT, ENTRY, NAMESPACE, TABLE_LIMIT
from machine.processor.native.loading import load

SLICE_NS = 1_000_000
"""Resolution, in ns, of the times of traps for which wasmtime does not account fuel."""
_FUEL = 1 << 62
_I32, _I64 = 0, 1
_ENDED = (TrapCode.OUT_OF_FUEL, TrapCode.INTERRUPT)
"""Traps of guests ended from outside, by fuel or by `HostCalls.interrupt`."""
_ACCOUNTED = (
    *(TrapCode.STACK_OVERFLOW, TrapCode.INDIRECT_CALL_TO_NULL, TrapCode.BAD_SIGNATURE, TrapCode.UNREACHABLE),
    *_ENDED,
)
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
    **dict.fromkeys(_ENDED, (TrapKind.ILLEGAL, "ended")),
}
_CONVERSIONS = range(0xA8, 0xB2)
"""Opcodes of the conversions from float to integer (core specification, 5.4.5). Their overflow is not a divide error.
"""

# Our own prototypes take plain addresses, converted once. Functions that never call back keep the interpreter lock.
_address = ctypes.c_void_p
_poll = ctypes.CFUNCTYPE(ctypes.c_bool, _address)(("wasmtime_call_future_poll", ffi.dll))
_arm = ctypes.PYFUNCTYPE(_address, _address, ctypes.c_uint64)(("wasmtime_context_fuel_async_yield_interval", ffi.dll))
_read_fuel = ctypes.PYFUNCTYPE(_address, _address, _address)(("wasmtime_context_get_fuel", ffi.dll))
_Called = ctypes.CFUNCTYPE(
    None, _address, _address, _address, ctypes.c_size_t, _address, ctypes.c_size_t, _address, _address
)
_NO_OFFSET = ctypes.c_size_t(-1).value
_VALUE = ffi.wasmtime_val_t.of.offset


@cache
def _native_slices() -> Callable[[int], int] | None:
    """Return `run_slices` of guest_slices.c; None if the host runs no native code."""
    entries = load("guest_slices", package=PACKAGE, count=len(ENTRY_POINTS["guest_slices"]))
    return None if entries is None else ctypes.CFUNCTYPE(ctypes.c_uint64, _address)(entries[0])


def _known(offset: int) -> int | None:
    """Return an offset, or None at a function's entry, where wasmtime checks the stack and has no offset."""
    return None if offset == _NO_OFFSET else offset


class _Slices(ctypes.Structure):
    """`struct slices` of guest_slices.c."""

    _fields_ = [
        *[(name, _address) for name in ("context", "future", "arm", "poll", "read_fuel")],
        *[(name, ctypes.c_uint64) for name in ("fuel", "left", "spent", "slice", "deadline", "calling")],
    ]
    context: int | None
    future: int | None
    fuel: int
    spent: int
    slice: int
    deadline: int
    calling: int


_FUNCTIONS = {
    "arm": "wasmtime_context_fuel_async_yield_interval",
    "poll": "wasmtime_call_future_poll",
    "read_fuel": "wasmtime_context_get_fuel",
}


class HostCalls:
    """The imports of an engine's guests. Calling one suspends the guest until it is answered."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The function in which the guest waits."""
        self.argument = 0
        self.slices = _Slices(
            **{field: ctypes.cast(getattr(ffi.dll, name), _address) for field, name in _FUNCTIONS.items()}
        )
        """The stay of the current guest, if native code runs it."""
        self._result_address = 0
        self._trap_address = 0
        self._answered = ctypes.create_string_buffer(2)
        # wasmtime polls twice in each call for the answer. C's strlen returns 0 or 1 for these two bytes, without
        # calling Python.
        strlen = ctypes.cast(ctypes.CDLL(None).strlen, ffi.wasmtime_func_async_continuation_callback_t)
        self._continuation = ffi.wasmtime_async_continuation_t(
            callback=strlen, env=ctypes.addressof(self._answered), finalizer=NO_FINALIZER
        )

    def answer(self, result: int) -> None:
        """Make the guest continue with the low 32 bits of `result`."""
        if self._result_address:
            ctypes.c_uint8.from_address(self._result_address).value = _I32
            ctypes.c_uint32.from_address(self._result_address + _VALUE).value = result & 0xFFFF_FFFF
        self._answered[0] = b"\1"
        self.number = None

    def interrupt(self) -> None:
        """Make the guest trap in its pending host call when it continues."""
        trap = ffi.wasmtime_trap_new_code(TrapCode.INTERRUPT.value)
        _address.from_address(self._trap_address).value = ctypes.cast(trap, _address).value
        self._answered[0] = b"\1"
        self.number = None

    def define(self, linker: Linker) -> list[Any]:
        """Provide every function of the contract. Return the objects to keep while the linker is used."""
        keep = []
        module = NAMESPACE.encode()
        for name, (number, (parameters, results)) in CONTRACT.items():
            callback = self._callback(number, bool(parameters), bool(results))
            kind = FuncType([ValType.i32()] * len(parameters), [ValType.i32()] * len(results))
            text = name.encode()
            error = ffi.wasmtime_linker_define_async_func(
                linker.ptr(),
                ctypes.create_string_buffer(module),
                len(module),
                ctypes.create_string_buffer(text),
                len(text),
                kind.ptr(),
                ctypes.cast(callback, ffi.wasmtime_func_async_callback_t),
                None,
                NO_FINALIZER,
            )
            if error:
                raise WasmtimeError._from_ptr(error)
            keep.append(callback)
        return keep

    def _callback(self, number: int, takes: bool, gives: bool) -> Any:
        answered, value = self._answered, ctypes.c_uint32.from_address
        prepared, size = ctypes.addressof(self._continuation), ctypes.sizeof(self._continuation)
        move, slices = ctypes.memmove, self.slices

        def called(
            _env: Any, _caller: Any, arguments: int, _count: int, results: int, _n: int, trap: int, then: int
        ) -> None:
            answered[0] = b"\0"
            self.argument = value(arguments + _VALUE).value if takes else 0
            self._result_address = results if gives else 0
            self._trap_address = trap
            self.number = number
            slices.calling = 1
            move(then, prepared, size)

        return _Called(called)


class Guest:
    """One instance of a module, from its instantiation to its end. Its owner must call `drop`.

    Args:
        engine: The engine.
        calls: The imports.
        instance_pre: The compiled module.
        module: The module.
        fuel: If given, the guest traps at the first place at which it could be preempted with that much spent.
        preset: The values of exported globals (i64), set before `_start` is entered.
        portable: Run without native code, more slowly.
    """

    def __init__(
        self,
        engine: Engine,
        calls: HostCalls,
        instance_pre: InstancePre,
        module: bytes,
        fuel: int = _FUEL,
        *,
        preset: Mapping[str, int] | None = None,
        portable: bool = False,
    ) -> None:
        self._calls = calls
        self.instance_pre = instance_pre
        self.module = module
        self._store: Any = ffi.wasmtime_store_new(engine.ptr(), None, NO_FINALIZER)
        ffi.wasmtime_store_limiter(self._store, -1, TABLE_LIMIT, -1, -1, -1)
        self._context = ffi.wasmtime_store_context(self._store)
        self._context_address = ctypes.cast(self._context, ctypes.c_void_p).value
        ffi.wasmtime_context_set_fuel(self._context, fuel)
        self._fuel = fuel
        self._run = None if portable else _native_slices()
        self._preset = preset or {}
        self._instance = ffi.wasmtime_instance_t()
        self._future: Any = None
        self._future_address: int | None = None
        self._trap = ctypes.POINTER(ffi.wasm_trap_t)()
        self._error = ctypes.POINTER(ffi.wasmtime_error_t)()
        self._left = ctypes.c_uint64(fuel)
        self._left_address = ctypes.addressof(self._left)
        self._spent = 0
        self.entered = False
        """True once its instance exists and its entry was called."""
        self.over = False
        """True once it has returned or trapped."""
        self.frames: tuple[Frame, ...] = ()
        """The active calls when it trapped."""

    def resume(self, result: int, budget: int) -> Departure:
        """Continue; see `GuestEngine.resume`."""
        calls, begun = self._calls, self._spent
        if self._future is None:
            trapped = self._enter()
            if trapped is not None:
                return trapped
        elif calls.number is not None:
            calls.answer(result)
        deadline = begun + max(budget, 1)
        finished = self._run_slices(deadline) if self._run is None else self._run_natively(self._run, deadline)
        spent = self._spent
        if calls.number is not None:
            return HostCall(calls.number, calls.argument, spent - begun)
        if finished:
            self._forget_future()
            return self._trapped(begun) or self._return(begun)
        return Preempted(spent - begun)

    def _run_slices(self, deadline: int) -> bool:
        """Continue until the deadline at most. Return True if the guest is over."""
        calls, spent = self._calls, self._spent
        while True:
            _arm(self._context_address, max(1, min(deadline, spent - spent % SLICE_NS + SLICE_NS) - spent))
            finished = _poll(self._future_address)
            _read_fuel(self._context_address, self._left_address)
            self._spent = spent = self._fuel - self._left.value
            if finished or calls.number is not None or spent >= deadline:
                return bool(finished)

    def _run_natively(self, run: Callable[[int], int], deadline: int) -> bool:
        """Continue like `_run_slices`."""
        slices = self._calls.slices
        slices.context, slices.future, slices.fuel = self._context_address, self._future_address, self._fuel
        slices.spent, slices.slice, slices.calling = self._spent, SLICE_NS, 0
        slices.deadline = min(deadline, 2 * _FUEL)
        finished = run(ctypes.addressof(slices))
        self._spent = slices.spent
        return bool(finished)

    @property
    def spent(self) -> int:
        """Fuel spent since its start; one unit is 1 ns."""
        return self._spent

    @property
    def waits(self) -> bool:
        """True while it is suspended in a host call."""
        return self._calls.number is not None

    @property
    def started(self) -> bool:
        """True once it has been resumed."""
        return self._future is not None or self.over

    def drop(self) -> None:
        """Free everything, and unwind a suspended guest. A second call does nothing."""
        self._forget_future()
        self._calls.number = None
        if self._store is not None:
            ffi.wasmtime_store_delete(self._store)
            self._store = None
        self.over = True

    def _enter(self) -> Trapped | None:
        """Instantiate, then call `_start`.

        Instantiation writes the segments, at one unit of fuel per byte or element, and runs no guest code.

        Returns:
            The trap, if a segment does not fit.
        """
        self._future = ffi.wasmtime_instance_pre_instantiate_async(
            self.instance_pre.ptr(),
            self._context,
            ctypes.byref(self._instance),
            ctypes.byref(self._trap),
            ctypes.byref(self._error),
        )
        while not ffi.wasmtime_call_future_poll(self._future):
            pass
        self._forget_future()
        _read_fuel(self._context_address, self._left_address)
        self._spent = self._fuel - self._left.value
        trapped = self._trapped(0, dated=True)
        if trapped is not None:
            return trapped
        for name, value in self._preset.items():
            content = ffi.wasmtime_val_t(kind=_I64)
            content.of.i64 = value
            ffi.wasmtime_global_set(self._context, ctypes.byref(self._export(name).of.global_), ctypes.byref(content))
        self._entry, self._values = self._export(ENTRY).of.func, (ffi.wasmtime_val_t * 1)()
        self._future = ffi.wasmtime_func_call_async(
            self._context,
            ctypes.byref(self._entry),
            self._values,
            0,
            self._values,
            0,
            ctypes.byref(self._trap),
            ctypes.byref(self._error),
        )
        self._future_address = ctypes.cast(self._future, ctypes.c_void_p).value
        self.entered = True
        return None

    def _export(self, name: str) -> Any:
        text, item = name.encode(), ffi.wasmtime_extern_t()
        ffi.wasmtime_instance_export_get(
            self._context,
            ctypes.byref(self._instance),
            ctypes.create_string_buffer(text),
            len(text),
            ctypes.byref(item),
        )
        return item

    def read_global(self, name: str) -> int:
        """Return the value of an exported global (i32 or i64). The guest must have been entered."""
        content = ffi.wasmtime_val_t()
        ffi.wasmtime_global_get(self._context, ctypes.byref(self._export(name).of.global_), ctypes.byref(content))
        kind: Any = content.kind
        return int(content.of.i32 if kind == _I32 else content.of.i64)

    def _return(self, begun: int) -> Returned:
        self.over = True
        return Returned(self._spent - begun)

    def _trapped(self, begun: int, *, dated: bool = False) -> Trapped | None:
        """Return a finished future's trap, if any. With `dated`, the fuel is its exact time."""
        if self._error:
            error, self._error = self._error, ctypes.POINTER(ffi.wasmtime_error_t)()
            self.over = True
            raise WasmtimeError._from_ptr(error)
        if not self._trap:
            return None
        trap, self._trap = Trap._from_ptr(self._trap), ctypes.POINTER(ffi.wasm_trap_t)()
        self.over = True
        self.frames = tuple(Frame(f.func_index, _known(f.module_offset)) for f in trap.frames)
        code = trap.trap_code
        if code not in _TRAPS:
            raise WasmtimeError(f"a trap that the profile does not know: {code}")
        kind, detail = _TRAPS[code]
        if code is TrapCode.INTEGER_OVERFLOW and self.module[self.frames[0].offset or 0] in _CONVERSIONS:
            kind = TrapKind.ILLEGAL
        if not dated and code not in _ACCOUNTED:
            self._spent += SLICE_NS - self._spent % SLICE_NS
        return Trapped(kind, detail, self._spent - begun)

    def _forget_future(self) -> None:
        if self._future is not None:
            ffi.wasmtime_call_future_delete(self._future)
            self._future = self._future_address = None
