"""Runs of enclaves for measurements, and the same modules in plain wasmtime: a part of `tests/bench.py`."""

import tempfile
from typing import Any, BinaryIO

from unicorn import UC_ARCH_X86, UC_MODE_64, UC_PROT_ALL, Uc
from wasmtime import Config, Engine, Func, FuncType, Instance, Linker, Module, Store, ValType, wat2wasm

import payloads
from enclave_sim import Enclave, RunResult
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.errors import KernelDied
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.recording.writer import RecordingWriter
from tests.bench_entries import MEBIBYTE, Entry, alternate, cpu_seconds, entry, seconds

HOST_CALLS = 20_000
_FUEL = 1 << 60
_RAM = 16 * MEBIBYTE
_LOOP = """
(module
  (import "aether" "emit_signal" (func $emit (param i32)))
  (func (export "_start") (local $round i32)
    (loop $again
      (call $emit (local.get $round))
      (local.set $round (i32.add (local.get $round) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $round) (i32.const {rounds}))))))
"""


def emitter(rounds: int) -> bytes:
    """A signed guest that emits `rounds` signals."""
    return sign(bytes(wat2wasm(_LOOP.format(rounds=rounds))), development_key())


def fuelled() -> Engine:
    """Plain wasmtime that counts instructions."""
    config = Config()
    config.consume_fuel = True
    return Engine(config)


def plain_run(module: bytes) -> float:
    """Processor seconds of `_start` in plain wasmtime with fuel, host functions in Python."""
    engine = fuelled()
    store, linker = Store(engine), Linker(engine)
    store.set_fuel(_FUEL)
    signals: list[int] = []
    emit = Func(store, FuncType([ValType.i32()], []), signals.append)
    linker.define(store, "aether", "emit_signal", emit)
    instance: Instance = linker.instantiate(store, Module(engine, module))
    start = instance.exports(store)["_start"]
    if not isinstance(start, Func):
        raise TypeError("_start is no function")
    return cpu_seconds(lambda: start(store))


def enclave_run(module: bytes, file: BinaryIO | None = None, **options: Any) -> tuple[float, RunResult]:
    """Processor seconds from EXEC_LOOP to dormant and scanned, and the result."""
    writer = None if file is None else RecordingWriter(file)
    enclave = Enclave(module, record=False, writer=writer, **options)
    if not enclave.boot():
        raise KernelDied("the enclave did not boot")
    results: list[RunResult] = []
    elapsed = cpu_seconds(lambda: results.append(enclave.run()))
    if writer is not None:
        writer.finish()
    if results[0].outcome != "COMPLETED":
        raise KernelDied(f"the guest ended with {results[0].outcome}")
    return elapsed, results[0]


def boot(samples: int) -> Entry:
    """Image in memory to EXEC_LOOP, in a process that has imported everything."""
    module = payloads.read("beacon")

    def bare() -> None:
        Uc(UC_ARCH_X86, UC_MODE_64).mem_map(0, _RAM, UC_PROT_ALL)
        Module(fuelled(), module)

    def whole() -> None:
        if not Enclave(module, record=False).boot():
            raise KernelDied("the enclave did not boot")

    value, reference = alternate(samples, lambda: seconds(whole), lambda: seconds(bare))
    what = "Uc(), mem_map, wasmtime Engine and Module of the same payload, ms"
    return entry("boot to EXEC_LOOP", value * 1e3, "ms", "<= 30", (what, reference * 1e3), samples)


def host_calls(samples: int) -> Entry:
    """Guest, INT 80h, ring 0, guest; recorded to a file."""
    module = emitter(HOST_CALLS)

    def recorded() -> float:
        with tempfile.TemporaryFile() as file:
            elapsed, _ = enclave_run(module, file)
            return HOST_CALLS / elapsed

    value, reference = alternate(samples, recorded, lambda: HOST_CALLS / plain_run(module))
    what = "the same module in plain wasmtime, host function in Python, calls/s"
    return entry("host calls, recorded", value, "calls/s", ">= 15000", (what, reference), samples)


def compute(samples: int) -> list[Entry]:
    """The spinner from EXEC_LOOP to its end, including annihilation and residue scan."""
    module = payloads.read("spinner")
    default_ns = EnclaveConfiguration().quantum_ns
    quanta_ns = sorted({default_ns, 100_000_000})
    runs = [lambda ns=ns: enclave_run(module, quantum_ns=ns)[0] for ns in quanta_ns]
    *ours, plain = alternate(samples, *runs, lambda: plain_run(module))
    beside = ("the same module in plain wasmtime with fuel, s of a processor", plain)
    return [
        entry(
            f"guest compute, timer every {ns / 1e6:g} ms{' (default)' if ns == default_ns else ''}",
            seconds_ / plain,
            "ratio",
            "<= 1.1",
            beside,
            samples,
            seconds=round(seconds_, 4),
        )
        for ns, seconds_ in zip(quanta_ns, ours, strict=True)
    ]
