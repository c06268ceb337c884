"""wasmtime as the witness: the verdict on a module, and what its guest does.

The engine has the settings of the guest profile (`enclave_sim.enclave.engine`), but runs guests synchronously, so that
all globals can be read at every host call.
"""

import ctypes
import hashlib
from functools import cache
from typing import Any

from wasmtime import Config, Engine, FuncType, Linker, Module, Store, Trap, TrapCode, ValType, WasmtimeError
from wasmtime import _ffi as ffi

from enclave_sim.enclave.engine.compilation import compile_module
from enclave_sim.enclave.engine.contract import TrapKind
from enclave_sim.enclave.engine.coroutine import _CONVERSIONS, _TRAPS
from enclave_sim.enclave.engine.fault_signals import let_wasmtime_handle_faults
from enclave_sim.enclave.engine.profile import CONTRACT, ENTRY, NAMESPACE, GuestProfile, check
from enclave_sim.memory_map import region
from enclave_sim.payload.errors import PayloadRejected
from enclave_sim.payload.wasm.refusals import cause_of
from enclave_sim.payload.wasm.sections import SectionId, assemble, decode_u32, encode_u32, sections
from tests.firmware.vmm.harness import STATUS, TRAPS, Event

PROFILE = GuestProfile(region("heap").size)
_KINDS = {
    TrapKind.MEMORY_OUT_OF_BOUNDS: "memory",
    TrapKind.STACK_OVERFLOW: "stack",
    TrapKind.ILLEGAL: "illegal",
    TrapKind.DIVIDE: "divide",
}
_FUEL = 1 << 24
_EXPORTED_AS = "exposed "
_GLOBAL, _MEMORY = 3, 2
"""Kinds of exports."""
_NARROW = (0, 2)
"""The kinds of values in wasmtime that have 4 bytes: i32 and f32."""


@cache
def _engine() -> Engine:
    config = Config()
    config.consume_fuel = True
    config.cranelift_nan_canonicalization = True
    config.max_wasm_stack = 256 << 10
    config.parallel_compilation = False
    for name, value in PROFILE.settings().items():
        getattr(ffi, f"wasmtime_config_{name}_set")(config.ptr(), value)
    engine = Engine(config)
    let_wasmtime_handle_faults()
    return engine


def verdict(module: bytes) -> str | None:
    """Return why wasmtime, in its own words, or the guest contract refuses a module; None if it is accepted."""
    try:
        check(module, compile_module(_engine(), module), PROFILE)
    except PayloadRejected as refused:
        return _in_its_words(module, refused.message) or refused.message
    return None


def _in_its_words(module: bytes, message: str) -> str | None:
    try:
        Module.validate(_engine(), module)
        Module(_engine(), module)  # which has limits of its own
    except WasmtimeError as error:
        cause = cause_of(error).removeprefix("Invalid input WebAssembly code ")
        return f"{message if 'needs' in message else 'the module is not valid WebAssembly'} ({cause})"
    return None


def exposed(module: bytes) -> bytes:
    """Return a valid module that exports its memory and all of its globals."""
    parts = list(sections(module))
    found = {part.id: part for part in parts}
    names = []
    if SectionId.MEMORY in found and decode_u32(found[SectionId.MEMORY].payload, 0)[0]:
        names.append((f"{_EXPORTED_AS}memory", _MEMORY, 0))
    count = decode_u32(found[SectionId.GLOBAL].payload, 0)[0] if SectionId.GLOBAL in found else 0
    names += [(f"{_EXPORTED_AS}{index}", _GLOBAL, index) for index in range(count)]
    exports = found[SectionId.EXPORT]
    old, at = decode_u32(exports.payload, 0)
    added = b"".join(
        encode_u32(len(name)) + name.encode() + bytes([kind]) + encode_u32(index) for name, kind, index in names
    )
    content = encode_u32(old + len(names)) + exports.payload[at:] + added
    section = bytes([SectionId.EXPORT]) + encode_u32(len(content)) + content
    return assemble(section if part is exports else part for part in parts)


class _Run:
    """One run of an exposed module."""

    def __init__(self, module: bytes) -> None:
        self.events: list[Event] = []
        self.store = Store(_engine())
        self.store.set_fuel(_FUEL)
        self._exports: Any = None
        self._module = module
        pages = next((part for part in sections(module) if part.id == SectionId.MEMORY), None)
        minimum = decode_u32(pages.payload, 2)[0] if pages and pages.payload[0] else 0
        self.store.set_limits(memory_size=minimum << 16)
        self._linker = Linker(self.store.engine)
        for name, (number, (parameters, results)) in CONTRACT.items():
            kind = FuncType([ValType.i32()] * len(parameters), [ValType.i32()] * len(results))
            self._linker.define_func(NAMESPACE, name, kind, self._host_function(int(number), bool(results)))
        self._compiled = compile_module(self.store.engine, module)

    def close(self) -> None:
        """Free the address space of the memory now; the garbage collector would not know of it."""
        self._linker.close()
        self.store.close()

    def _host_function(self, number: int, gives: bool) -> Any:
        def called(*arguments: int) -> int | None:
            self._note("C", number, arguments[0] & 0xFFFF_FFFF if arguments else 0)
            return STATUS - (1 << 32) if gives else None

        return called

    def _note(self, record: str, kind: int, argument: int = 0) -> None:
        self.events.append(Event(record, kind, argument, self._digest()))

    def _digest(self) -> bytes:
        """Return nothing if instantiation traps: then there is no instance to look at."""
        if self._exports is None:
            return b""
        state, exports, index = hashlib.sha256(), self._exports, 0
        while (variable := exports.get(f"{_EXPORTED_AS}{index}")) is not None:
            state.update(self._cell(variable))
            index += 1
        memory = exports.get(f"{_EXPORTED_AS}memory")
        if memory is not None:
            state.update(ctypes.string_at(memory.data_ptr(self.store), memory.data_len(self.store)))
        return state.digest()

    def _cell(self, variable: Any) -> bytes:
        """Return the bits of a global; Python's floats do not keep those of a NaN."""
        value = ffi.wasmtime_val_t()
        ffi.wasmtime_global_get(self.store._context(), ctypes.byref(variable._global), ctypes.byref(value))
        size = 4 if int(value.kind) in _NARROW else 8
        start = ctypes.addressof(value) + ffi.wasmtime_val_t.of.offset
        return ctypes.string_at(start, size).ljust(8, b"\0")

    def run(self) -> list[Event]:
        try:
            exports: Any = self._linker.instantiate(self.store, self._compiled).exports(self.store)
            self._exports = {item.name: exports[item.name] for item in self._compiled.exports}
            self._exports[ENTRY](self.store)
        except Trap as trap:
            self._note("T", TRAPS.index(_kind(trap, self._module)))
        else:
            self._note("R", 0)
        return self.events


def _kind(trap: Trap, module: bytes) -> str:
    code = trap.trap_code
    if code is None or code is TrapCode.OUT_OF_FUEL:
        return "hangs"
    kind, _ = _TRAPS[code]
    frames = trap.frames
    if kind is TrapKind.DIVIDE and frames and module[frames[0].module_offset] in _CONVERSIONS:
        kind = TrapKind.ILLEGAL
    return _KINDS[kind]


def run(module: bytes) -> list[Event]:
    """Run a valid, exposed module, and return what its guest does."""
    reference = _Run(module)
    try:
        return reference.run()
    finally:
        reference.close()
