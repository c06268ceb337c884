"""How wasmtime is set up: every setting that shapes code or behaviour, in one table that is applied and hashed.

Only combinations out of this table reach wasmtime: an invalid one ends the process instead of raising an error.
Features of the processor are not listed. wasmtime takes those it finds and itself refuses code that needs others.
"""

import hashlib
import importlib.metadata
import platform

from wasmtime import Config, Engine
from wasmtime import _ffi as ffi

from enclave_sim.enclave.engine.fault_signals import let_wasmtime_handle_faults
from enclave_sim.enclave.engine.linear_memory import LinearMemory
from enclave_sim.enclave.engine.profile import GuestProfile

STACK_BYTES = 256 << 10
"""WebAssembly stack of a guest; its overflow is a trap."""
RESERVATION_BYTES = 4 << 30
"""What a 32-bit index can reach."""
GUARD_BYTES = 32 << 20
"""What a constant offset may add before wasmtime checks it."""

_SETTINGS = {
    "strategy": 1,  # Cranelift
    "cranelift_opt_level": 1,  # speed
    "cranelift_nan_canonicalization": True,
    "consume_fuel": True,
    "epoch_interruption": False,
    "debug_info": False,
    "signals_based_traps": True,
    "max_wasm_stack": STACK_BYTES,
    "async_stack_size": 4 << 20,
    "parallel_compilation": False,
    "memory_init_cow": False,  # would map over the machine's RAM
    "memory_may_move": False,
    "memory_reservation_for_growth": 0,
}


def settings(profile: GuestProfile, *, check_bounds: bool) -> dict[str, int]:
    """wasmtime's settings by name, in the order they are made. With `check_bounds` code does without a guard."""
    return {
        **_SETTINGS,
        "memory_reservation": 0 if check_bounds else RESERVATION_BYTES,
        "memory_guard_size": 0 if check_bounds else GUARD_BYTES,
        **profile.settings(),
    }


def fingerprint(profile: GuestProfile, *, check_bounds: bool = False) -> bytes:
    """Which engine compiled code is for, in 32 bytes: wasmtime's version, processor, system and all settings."""
    lines = [
        f"wasmtime={importlib.metadata.version('wasmtime')}",
        f"target={platform.machine()}-{platform.system()}",
        *(f"{name}={int(value)}" for name, value in settings(profile, check_bounds=check_bounds).items()),
    ]
    return hashlib.sha256("\n".join(lines).encode()).digest()


def new_engine(profile: GuestProfile, memory: LinearMemory, *, check_bounds: bool) -> Engine:
    """An engine whose guests have their linear memory made by `memory`."""
    config = Config()
    for name, value in settings(profile, check_bounds=check_bounds).items():
        getattr(ffi, f"wasmtime_config_{name}_set")(config.ptr(), value)
    memory.attach(config)
    engine = Engine(config)
    let_wasmtime_handle_faults()
    return engine
