"""The cost of snapshots and of going back: a part of `tests/bench.py`."""

import statistics
from collections.abc import Callable
from functools import partial
from random import Random
from time import perf_counter
from typing import Any

from wasmtime import wat2wasm

from enclave_sim import Enclave
from enclave_sim.inputs import Tamper
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.navigation.provenance.answers import Role
from tests.bench_entries import cpu_seconds

_BACK = 12
_CHAIN = 8
"""Steps of provenance in a row."""
_SECOND_NS = 1_000_000_000


def _cpu_ms(action: Callable[[], Any]) -> float:
    return cpu_seconds(action) * 1e3


def _ms(action: Callable[[], Any]) -> float:
    start = perf_counter()
    action()
    return (perf_counter() - start) * 1e3


def snapshots(samples: int) -> tuple[float, float, float]:
    """Processor ms for taking one at the end of a boot, for restoring it after a small run, and for booting."""
    enclave = Enclave("beacon", record=False)
    enclave.boot()
    snapshot = enclave.snapshot()
    taken, restored, booted = [], [], []
    for _ in range(samples):
        enclave.run()
        restored.append(_cpu_ms(lambda: enclave.restore(snapshot)))
        taken.append(_cpu_ms(enclave.snapshot))
        booted.append(_cpu_ms(lambda: Enclave("beacon", record=False).boot()))
    return statistics.median(taken), statistics.median(restored), statistics.median(booted)


def steps_back() -> list[tuple[str, float, float, float]]:
    """The subject, and in milliseconds: one step back at random moments (median, worst), and the complete run
    forward."""
    wanted: list[tuple[str, Session]] = [
        ("1 s of sleeps and small cycles", Session("counter", cycles=930)),
        (
            "1 s of a flat guest that computes",
            Session(b"\xeb\xfe", engine="native", quantum_ns=5_000_000, inputs=[Tamper(at_ns=_SECOND_NS)]),
        ),
        ("1.1 s of one stay in WebAssembly", Session("spinner")),
    ]
    found = []
    for name, session in wanted:
        random = Random(1)
        forward = _ms(lambda s=session: s.run_to(event="annihilation_began"))  # type: ignore[misc]
        end_ns, times = session.now.at_ns, []
        for _ in range(_BACK):
            at_ns = random.randrange(1000, end_ns)
            (session.reverse_to if at_ns < session.now.at_ns else session.run_to)(at_ns=at_ns)
            times.append(_ms(session.back))
        found.append((name, statistics.median(times), max(times), forward))
    return found


def lifetimes(samples: int) -> list[tuple[str, float, float]]:
    """The secret, and in processor ms: its lifetimes in a run, and the run itself."""
    found = []
    wanted: list[tuple[str, Any, str, dict[str, Any]]] = [
        ("a nonce", "counter", "nonce", {}),
        ("a nonce, with the resident engine", "counter", "nonce", {"engine": "resident"}),
        ("data of a guest", _with_data(), "data", {}),
        ("data of a guest of the resident engine", _with_data(), "data", {"engine": "resident"}),
    ]
    for name, payload, secret, options in wanted:
        of = partial(_followed, payload, secret, options)
        run = partial(Enclave, payload, cycles=1, record=False, **options)
        of()
        figures = [(_cpu_ms(of), _cpu_ms(lambda r=run: r().run())) for _ in range(samples)]  # type: ignore[misc]
        found.append((name, statistics.median(one for one, _ in figures), statistics.median(one for _, one in figures)))
    return found


def _followed(payload: Any, secret: str, options: dict[str, Any]) -> None:
    Session(payload, cycles=1, **options).lifetimes(secret)


def _with_data() -> bytes:
    """A guest that stores, changes and sends parts of its data segment."""
    text = """(module (import "aether" "emit_signal" (func $emit (param i32)))
      (memory 1) (data (i32.const 16) "correct horse battery staple")
      (func (export "_start")
        (i64.store (i32.const 64) (i64.xor (i64.const -1) (i64.load (i32.const 16))))
        (i64.store (i32.const 80) (i64.load (i32.const 24)))
        (call $emit (i32.load (i32.const 16)))))"""
    return sign(bytes(wat2wasm(text)), development_key())


def steps_of_provenance() -> list[tuple[str, float, float, int, float]]:
    """The subject, and in milliseconds: one step of provenance (median, worst), their number, and one step back.

    A chain begins with a register at a random moment of a second of virtual time, and follows the first source that is
    data. Each step is a question of its own.
    """
    wanted = [("1 s of sleeps and small cycles", Session("counter", cycles=930))]
    found = []
    for name, session in wanted:
        random = Random(1)
        session.run_to(event="annihilation_began")
        end_ns, steps, backs = session.now.at_ns, [], []
        for _ in range(_BACK):
            at_ns = random.randrange(1000, end_ns)
            (session.reverse_to if at_ns < session.now.at_ns else session.run_to)(at_ns=at_ns)
            backs.append(_ms(session.back))
            value: Any = random.choice(("rax", "rcx", "rdx", "rsi", "rdi"))
            for _ in range(_CHAIN):
                asked: list[Any] = []
                steps.append(_ms(lambda of=value, to=asked, s=session: to.append(s.where_from(of, depth=1))))  # type: ignore[misc]
                sources = [one for origin in asked[0].origins for one in origin.sources if one.role is Role.DATA]
                value = next((one.value for one in sources if one.value is not None), None)
                if value is None:
                    break
        found.append((name, statistics.median(steps), max(steps), len(steps), statistics.median(backs)))
    return found
