"""Compiling guests with wasmtime: for one engine, or ahead of time for any engine with the same fingerprint."""

import ctypes

from wasmtime import Engine, Module, WasmtimeError
from wasmtime import _ffi as ffi

from enclave_sim.enclave.engine.contract import HeapWindow
from enclave_sim.enclave.engine.linear_memory import LinearMemory
from enclave_sim.enclave.engine.profile import GuestProfile, check, compile_error
from enclave_sim.enclave.engine.wasmtime_settings import fingerprint, new_engine
from enclave_sim.payload.errors import PayloadCheck, PayloadRejected


def compile_ahead(module: bytes, profile: GuestProfile) -> tuple[bytes, bytes]:
    """Compile a module ahead of time, for this host.

    The code relies on reserved address space after the heap; an engine without it refuses the fingerprint. Raises
    PayloadRejected for a module outside the profile or the contract.

    Returns:
        The engine's fingerprint and the code.
    """
    memory = LinearMemory(HeapWindow(0, profile.max_heap_bytes, 0))
    compiled = compile_module(new_engine(profile, memory, check_bounds=False), module)
    check(module, compiled, profile)
    return fingerprint(profile), bytes(compiled.serialize())


def compile_module(engine: Engine, module: bytes) -> Module:
    """Compile a binary module. `wasmtime.Module` itself would also accept the text format. Raises PayloadRejected."""
    compiled = ctypes.POINTER(ffi.wasmtime_module_t)()
    error = ffi.wasmtime_module_new(
        engine.ptr(), (ctypes.c_uint8 * len(module)).from_buffer_copy(module), len(module), ctypes.byref(compiled)
    )
    if error:
        raise compile_error(WasmtimeError._from_ptr(error))
    return Module._from_ptr(compiled)


def load_code(engine: Engine, module: bytes, code: bytes, made_by: bytes | None, right: bytes) -> Module:
    """Load authenticated code, and validate its module. Raises PayloadRejected unless `made_by` is `right`."""
    if made_by != right:
        raise _foreign("it was compiled by another engine or for another processor")
    try:
        Module.validate(engine, module)
    except WasmtimeError as error:
        raise compile_error(error) from None
    try:
        return Module.deserialize(engine, code)
    except WasmtimeError:
        raise _foreign("it was not compiled by this version of wasmtime") from None


def _foreign(reason: str) -> PayloadRejected:
    message = f"the artefact's code is not for this engine: {reason}; compile it again, or run the plain module"
    return PayloadRejected(PayloadCheck.ARTEFACT_FOREIGN, message)
