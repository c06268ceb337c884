"""Hypothesis examples per second: a part of `tests/bench.py`.

Each example is a complete run, from the end of the boot to DORMANT with its residue scan, in one process. The reference
boots a fresh enclave for each.
"""

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from enclave_sim import Enclave, Template
from enclave_sim.guarantees import ObservedTemplate, isolated, zero_trace
from enclave_sim.strategies import instruction_sequences, interrupt_schedules, wasm_guests

_EXAMPLES = 200
_FLAT_NS = 20_000


def _rate(strategy: st.SearchStrategy[Any], run: Callable[[Any], None], examples: int = _EXAMPLES) -> float:
    """Examples per second, including Hypothesis's own time."""

    @settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def tried(example: Any) -> None:
        tried_so_far.append(None)
        run(example)

    tried_so_far: list[None] = []
    start = perf_counter()
    tried()
    return len(tried_so_far) / (perf_counter() - start)


def measure(samples: int) -> list[tuple[str, float, str | None, str, float]]:
    """Name, examples/s, target, reference and its examples/s, for each kind of example."""
    plain, watched = Template("beacon"), ObservedTemplate("beacon")
    flat, interpreted = ObservedTemplate("quitter", engine="native"), Template("beacon", engine="resident")
    end_ns = watched.run().result.virtual_ns
    schedules = interrupt_schedules(plain.at_ns, end_ns)

    def clean(enclave: Enclave) -> None:
        if not enclave.run().clean:
            raise RuntimeError("an enclave left something behind")

    def guarded(inputs: Any) -> None:
        run = watched.run(inputs=inputs)
        zero_trace([run]).check()
        isolated([run]).check()

    def hostile(guest: Any) -> None:
        isolated([flat.run(guest.code, limit_ns=flat.at_ns + _FLAT_NS)]).check()

    measures: list[tuple[str, str | None, Callable[[], float]]] = [
        (
            "a small guest, other interrupts each time",
            ">= 300",
            lambda: _rate(schedules, lambda i: clean(plain.start(inputs=i))),
        ),
        ("the same, watched and judged by two guarantees", None, lambda: _rate(schedules, guarded)),
        (
            "another generated WebAssembly guest each time",
            None,
            lambda: _rate(wasm_guests(max_size=3), lambda g: clean(plain.start(g.module))),
        ),
        (
            "the same, by the resident VMM",
            None,
            lambda: _rate(wasm_guests(max_size=3), lambda g: clean(interpreted.start(g.module))),
        ),
        ("another generated flat guest each time, watched", ">= 300", lambda: _rate(instruction_sequences(), hostile)),
    ]
    booting = [_rate(schedules, lambda i: clean(Enclave("beacon", inputs=i)), 40) for _ in range(samples)]
    reference = statistics.median(booting)
    return [
        (name, statistics.median(one() for _ in range(samples)), target, "a fresh boot for each example", reference)
        for name, target, one in measures
    ]
