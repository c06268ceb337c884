"""Runs the ML-DSA-65 module: one instance per key, one compilation per process and compiler."""

import atexit
import platform
from functools import cache, lru_cache
from threading import Lock

import wasmtime
from wasmtime import _bindings as bindings
from wasmtime import _ffi as ffi

from machine.errors import EmulatorFault
from machine.tpm.buffers import sized
from machine.tpm.constants import Alg
from machine.tpm.mldsa import MODULE
from machine.tpm.public_area import Scheme

PUBLIC_KEY_BYTES = 1952
SIGNATURE_BYTES = 3309
FEW = 20
"""Signatures after which better code is compiled, which saves as much in as many more. Most runs need one."""


@cache
def _module(*, quickly: bool) -> tuple[wasmtime.Engine, wasmtime.Module]:
    """Compile the module: `quickly` in 4 ms, otherwise in 17 ms; each signature takes 1.5 ms then, or 0.9 ms."""
    configuration = wasmtime.Config()
    configuration.parallel_compilation = False  # the module is small
    configuration.cranelift_opt_level = "none"  # compiles in two thirds of the time, and the code is no slower
    for kind in ("reservation", "reservation_for_growth", "guard_size"):  # of address space, 4 GiB by default
        getattr(ffi, f"wasmtime_config_memory_{kind}_set")(configuration.ptr(), 0)
    if quickly:
        winch = bindings.wasmtime_strategy_enum.WASMTIME_STRATEGY_WINCH.value - 1  # in the library the first one is 0
        bindings.wasmtime_config_strategy_set(configuration.ptr(), winch)
    engine = wasmtime.Engine(configuration)
    return engine, wasmtime.Module(engine, MODULE.read_bytes())


class _Instance:
    """The module with one key."""

    def __init__(self, seed: bytes, *, quickly: bool) -> None:
        engine, module = _module(quickly=quickly)
        self._store = wasmtime.Store(engine)
        self._exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        memory = self._exports["memory"]
        if not isinstance(memory, wasmtime.Memory):
            raise EmulatorFault("the ML-DSA module has no memory")
        self._memory = memory
        self._memory.write(self._store, seed, self._call("seed_address"))
        self._done("generate")

    def public_key(self) -> bytes:
        return self._read("public_key_address", PUBLIC_KEY_BYTES)

    def sign(self, data: bytes) -> bytes:
        self._memory.write(self._store, data, self._call("message_address"))
        self._done("sign", len(data))
        return self._read("signature_address", SIGNATURE_BYTES)

    def _call(self, name: str, *arguments: int) -> int:
        function = self._exports[name]
        if not isinstance(function, wasmtime.Func):
            raise EmulatorFault(f"the ML-DSA module has no function {name}")
        result: int = function(self._store, *arguments)
        return result

    def _done(self, name: str, *arguments: int) -> None:
        code = self._call(name, *arguments)
        if code:
            raise EmulatorFault(f"{name} of the ML-DSA module ended with {code}")

    def _read(self, address: str, size: int) -> bytes:
        start = self._call(address)
        return bytes(self._memory.read(self._store, start, start + size))


class MlDsa65Signer:
    """The key of a 32-byte seed. Use `mldsa65_signer`, which caches keys."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._signatures = 0
        self._lock = Lock()  # enclaves in several threads may share a key, and one store runs in one thread at a time
        # wasmtime's quick compiler, Winch, is complete for this processor only.
        self._instance = _Instance(seed, quickly=platform.machine() == "x86_64")
        self.public_key = self._instance.public_key()
        self.unique = sized(self.public_key)

    def sign(self, data: bytes, scheme: Scheme) -> bytes:  # noqa: ARG002 - ML-DSA has one
        """Return a TPMT_SIGNATURE over `data` of at most 4096 bytes."""
        with self._lock:
            if self._signatures == FEW:
                self._instance = _Instance(self._seed, quickly=False)
            self._signatures += 1
            signature = self._instance.sign(data)
        return Alg.MLDSA.to_bytes(2, "big") + sized(signature)


@lru_cache(maxsize=8)  # each holds the memory of a WebAssembly instance
def mldsa65_signer(seed: bytes) -> MlDsa65Signer:
    """Return the signer of a seed."""
    return MlDsa65Signer(seed)


# wasmtime's objects must be freed while the Python module wasmtime still exists
atexit.register(_module.cache_clear)
atexit.register(mldsa65_signer.cache_clear)
