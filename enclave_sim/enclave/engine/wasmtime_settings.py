"""wasmtime's settings: all that affect code or behaviour, in one table that is applied and hashed.

Only combinations from this table reach wasmtime: an invalid one aborts the process instead of raising an error.
Processor features are not listed: wasmtime uses those that it finds, and itself refuses code that needs others.
"""

import hashlib
import platform

from wasmtime import Config, Engine
from wasmtime import _ffi as ffi

from enclave_sim.enclave.engine.fault_signals import let_wasmtime_handle_faults
from enclave_sim.enclave.engine.linear_memory import LinearMemory
from enclave_sim.enclave.engine.profile import GuestProfile

STACK_BYTES = 256 << 10
"""WebAssembly stack of a guest; its overflow is a trap."""
RESERVATION_BYTES = 4 << 30
"""The range of a 32-bit index."""
GUARD_BYTES = 32 << 20
"""The largest constant offset for which wasmtime relies on the guard instead of a check."""

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
    """Return wasmtime's settings by name, in a fixed order. With `check_bounds` code needs no guard."""
    return {
        **_SETTINGS,
        "memory_reservation": 0 if check_bounds else RESERVATION_BYTES,
        "memory_guard_size": 0 if check_bounds else GUARD_BYTES,
        **profile.settings(),
    }


def fingerprint(profile: GuestProfile, *, check_bounds: bool = False) -> bytes:
    """Return 32 bytes that identify the engine of some code: wasmtime version, processor, system, all settings."""
    from importlib.metadata import version  # noqa: PLC0415 - it loads email and zipfile, and few runs ask

    lines = [
        f"wasmtime={version('wasmtime')}",
        f"target={platform.machine()}-{platform.system()}",
        *(f"{name}={int(value)}" for name, value in settings(profile, check_bounds=check_bounds).items()),
    ]
    return hashlib.sha256("\n".join(lines).encode()).digest()


def new_engine(profile: GuestProfile, memory: LinearMemory, *, check_bounds: bool) -> Engine:
    """Make an engine whose guests get their linear memory from `memory`."""
    config = Config()
    for name, value in settings(profile, check_bounds=check_bounds).items():
        getattr(ffi, f"wasmtime_config_{name}_set")(config.ptr(), value)
    memory.attach(config)
    engine = Engine(config)
    let_wasmtime_handle_faults()
    return engine
