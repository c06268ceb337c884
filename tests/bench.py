"""Important speeds, each with a reference from the same run: `python tests/bench.py [--quick] [part ...]`.

Prints one JSON object; progress goes to standard error. Values are medians, and samples of a value and its reference
alternate, so that both see the same host conditions. All seconds are host seconds, not virtual time.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import chain
from time import perf_counter
from typing import Any, BinaryIO

from unicorn import UC_ARCH_X86, UC_MODE_64, UC_PROT_ALL, Uc
from wasmtime import Config, Engine, Func, FuncType, Instance, Linker, Module, Store, ValType, wat2wasm

import payloads
from enclave_sim import Enclave, RunResult
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.errors import KernelDied
from enclave_sim.events import SignalEmitted
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.recording.format import Header
from enclave_sim.recording.writer import RecordingWriter
from tests import (
    bench_attestation,
    bench_examples,
    bench_inspector,
    bench_instructions,
    bench_machine,
    bench_time_travel,
)
from tests.bench_entries import CACHING, MEBIBYTE, Entry, alternate, entry, seconds

HOST_CALLS = 20_000
EVENTS = 1_000_000


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
_IMPORTS = ("enclave_sim.cli.app", "enclave_sim.enclave", "enclave_sim.enclave.engine.wasmtime_engine")
_MILLION = "--million-events"


def emitter(rounds: int) -> bytes:
    """A signed guest that emits `rounds` signals."""
    return sign(bytes(wat2wasm(_LOOP.format(rounds=rounds))), development_key())


def fuelled() -> Engine:
    """Plain wasmtime that counts instructions."""
    config = Config()
    config.consume_fuel = True
    return Engine(config)


def plain_run(module: bytes) -> float:
    """Seconds of `_start` in plain wasmtime with fuel, host functions in Python."""
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
    return seconds(lambda: start(store))


def enclave_run(module: bytes, file: BinaryIO | None = None, **options: Any) -> tuple[float, RunResult]:
    """Seconds from EXEC_LOOP to dormant and scanned, and the result."""
    writer = None if file is None else RecordingWriter(file)
    enclave = Enclave(module, record=False, writer=writer, **options)
    if not enclave.boot():
        raise KernelDied("the enclave did not boot")
    results: list[RunResult] = []
    elapsed = seconds(lambda: results.append(enclave.run()))
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


def process(samples: int) -> list[Entry]:
    """The command from a user's view: its processor time compared with that of its two indispensable libraries."""

    def spawn(*arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=CACHING)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    run, enclave, imports, version, help_, reference = alternate(
        samples,
        lambda: spawn("-m", "enclave_sim", "run", "beacon", "--quiet"),
        lambda: spawn("-c", "from enclave_sim import Enclave; Enclave('beacon').run()"),
        lambda: spawn("-c", f"import {', '.join(_IMPORTS)}"),
        lambda: spawn("-m", "enclave_sim", "--version"),
        lambda: spawn("-m", "enclave_sim", "--help"),
        lambda: spawn("-c", "import unicorn, wasmtime"),
    )
    beside = ('process: python -c "import unicorn, wasmtime", s of a processor', reference)
    figures = {
        "enclave-sim run beacon --quiet": (run, "<= 2.5"),
        "the same in Python": (enclave, None),
        "its imports alone": (imports, None),
        "enclave-sim --version": (version, "<= 1"),
        "enclave-sim --help": (help_, "<= 1.5"),
    }
    return [
        entry(f"process: {name}", value / reference, "ratio", target, beside, samples, seconds=round(value, 4))
        for name, (value, target) in figures.items()
    ]


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
    quanta_ns = sorted({default_ns, 10_000_000})
    runs = [lambda ns=ns: enclave_run(module, quantum_ns=ns)[0] for ns in quanta_ns]
    *ours, plain = alternate(samples, *runs, lambda: plain_run(module))
    beside = ("the same module in plain wasmtime with fuel, s", plain)
    return [
        entry(
            f"guest compute, timer every {ns / 1e6:g} ms{' (default)' if ns == default_ns else ''}",
            seconds_ / plain,
            "ratio",
            "<= 1.15",
            beside,
            samples,
            seconds=round(seconds_, 4),
        )
        for ns, seconds_ in zip(quanta_ns, ours, strict=True)
    ]


def property_examples(samples: int) -> list[Entry]:
    """Property-based tests, as users write them."""
    return [
        entry(f"examples: {name}", rate, "examples/s", target, (f"{what}, examples/s", reference), samples)
        for name, rate, target, what, reference in bench_examples.measure(samples)
    ]


def time_travel(samples: int) -> list[Entry]:
    """Snapshots, and steps back."""
    taken, restored, booted = bench_time_travel.snapshots(samples)
    what = ("a fresh enclave, booted as far, ms", booted)
    return [
        entry("taking a snapshot", taken, "ms", "<= 2", what, samples),
        entry("restoring it after a small run", restored, "ms", "<= 0.3", what, samples),
        *(
            entry(f"a step back in {name}", median, "ms", "<= 50", ("the run forward, ms", forward), 12, worst=worst)
            for name, median, worst, forward in bench_time_travel.steps_back()
        ),
    ]


def inspector(samples: int) -> list[Entry]:
    """From a key to the screen."""
    found = []
    for width, height in ((80, 24), (200, 60)):
        taken, additions = bench_inspector.steps((width, height), samples)
        beside = ("a million additions, ms", additions)
        for name, value in (("median", statistics.median(taken)), ("99 of 100", taken[len(taken) * 99 // 100])):
            what = f"inspector: a step on screen, {width}x{height}, {name}"
            found.append(entry(what, value, "ms", "<= 50", beside, samples))
    return found


def attestation(samples: int) -> list[Entry]:
    """Measured boot, quotes and their verifiers."""
    attested, plain, more, busy = bench_attestation.boots(samples)
    whole, signatures = bench_attestation.verification(samples)
    rate, plain_rate = bench_attestation.cycles(samples)
    remote, direct = bench_attestation.exchanges(samples)
    plain_boot = ("the boot without attestation, ms", plain)
    judged = ("two bare verifications of signatures, ms", signatures)
    asked = ("the verifier called directly, exchanges/s", direct)
    return [
        entry(
            "attestation: more at boot",
            more,
            "ms",
            "<= 5",
            plain_boot,
            samples,
            whole=round(attested, 3),
            processor_ms=round(busy, 3),
        ),
        entry("attestation: one evidence file decoded and verified", whole, "ms", "<= 5", judged, samples),
        entry(
            "attestation: cycles of a small guest",
            rate,
            "cycles/s",
            None,
            ("without attestation, cycles/s", plain_rate),
            samples,
        ),
        *(
            entry(f"TPM model: {name}", ours, "commands/s", None, ("swtpm, commands/s", theirs), samples)
            for name, ours, theirs in bench_attestation.tpm_commands(samples)
        ),
        entry("verifier over HTTP: challenge, evidence, verdict", remote, "exchanges/s", None, asked, samples),
    ]


def instructions(samples: int) -> list[Entry]:
    """The slowest paths through the processor, the slowest first; each a median."""
    found: list[Entry] = []
    for path in bench_instructions.paths():
        speeds = [bench_instructions.measure(path) for _ in range(samples)]
        scaled = statistics.median(speed.scaled for speed in speeds)
        beside = ("a million additions of global variables, ms", statistics.median(s.additions_ms for s in speeds))
        measured = round(statistics.median(speed.per_second for speed in speeds))
        what, promised = f"instructions: {path.name}", f">= {bench_instructions.PROMISED}"
        unit = f"instructions/s where these take {bench_instructions.AT_MS:g} ms"
        found.append(entry(what, round(scaled), unit, promised, beside, samples, measured=measured))
    return sorted(found, key=lambda one: float(one["value"]))


def million_events() -> list[Entry]:
    """A million events recorded to disk, in a separate process whose memory can be measured."""
    output = subprocess.run([sys.executable, __file__, _MILLION], check=True, stdout=subprocess.PIPE, text=True).stdout
    told = json.loads(output)
    what = "encode, hash and write one kind of event alone, events/s"
    first = entry(
        f"{EVENTS:,} events recorded",
        told["rate"],
        "events/s",
        None,
        (what, told["reference"]),
        1,
        events=told["events"],
        file_bytes=told["file_bytes"],
    )
    memory = ("file written, MiB", told["file_bytes"] / MEBIBYTE)
    growth = told["growth_bytes"] / MEBIBYTE
    return [first, entry("memory growth while recording them", growth, "MiB", "<= 64", memory, 1)]


def record_million() -> None:
    """The child of `million_events`."""
    with tempfile.TemporaryFile() as file:
        enclave_run(emitter(2000), file)
    _, few = enclave_run(emitter(100))
    _, more = enclave_run(emitter(1100))
    calls = -(-(EVENTS - few.events) * 1000 // (more.events - few.events)) + 100
    module = emitter(calls)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryFile() as file:
        elapsed, result = enclave_run(module, file)
        file_bytes = os.fstat(file.fileno()).st_size
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if result.events < EVENTS:
        raise KernelDied(f"only {result.events} events")
    with tempfile.TemporaryFile() as file:
        alone = RecordingWriter(file, Header({}, "", ()))
        event = SignalEmitted(123_456, 123_456_789, 4711)
        start = perf_counter()
        for _ in range(200_000):
            alone.record(event)
        reference = perf_counter() - start
    unit = 1 if platform.system() == "Darwin" else 1024  # getrusage(2)
    told = {
        "events": result.events,
        "rate": result.events / elapsed,
        "reference": 200_000 / reference,
        "growth_bytes": growth * unit,
        "file_bytes": file_bytes,
    }
    print(json.dumps(told))


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="which parts, by the first words of their names; else all")
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument(_MILLION, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.million_events:
        record_million()
        return
    few, many = (3, 7) if arguments.quick else (7, 21)
    parts: list[tuple[str, Callable[[], list[Entry]]]] = [
        ("boot", lambda: [boot(many)]),
        ("process", lambda: process(few)),
        ("small kernel", lambda: bench_machine.small_kernel(many)),
        ("ring-0 loop", lambda: [bench_machine.ring_0_loop(few)]),
        ("host calls", lambda: [host_calls(few)]),
        ("compute", lambda: compute(few)),
        ("property examples", lambda: property_examples(few)),
        ("time travel", lambda: time_travel(many)),
        ("inspector", lambda: inspector(30 * few)),
        ("attestation", lambda: attestation(few)),
        ("instructions", lambda: instructions(few)),
        ("a million events", million_events),
    ]
    wanted = tuple(arguments.parts)
    parts = [part for part in parts if not wanted or part[0].startswith(wanted)]
    found: list[list[Entry]] = []
    for name, measure in parts:
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        found.append([])
        elapsed = seconds(lambda measure=measure, into=found[-1]: into.extend(measure()))  # type: ignore[misc]
        print(f"{elapsed:.1f} s", file=sys.stderr)
    host = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "processors": os.cpu_count(),
    }
    print(json.dumps({"host": host, "quick": arguments.quick, "results": list(chain.from_iterable(found))}, indent=2))


if __name__ == "__main__":
    main()
