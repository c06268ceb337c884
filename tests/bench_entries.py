"""Entries of `tests/bench.py`, and their measurement."""

import os
import statistics
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

MEBIBYTE = 1 << 20


CACHING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""An environment in which Python caches compiled modules, as for an installed program."""

Entry = dict[str, Any]


def entry(
    name: str,
    value: float,
    unit: str,
    target: str | None,
    reference: tuple[str, float],
    samples: int,
    **more: Any,
) -> Entry:
    """One figure. `target` is `<= n` or `>= n`, or None if nothing was promised."""
    met = None
    if target is not None:
        sign_, bound = target.split()
        met = value <= float(bound) if sign_ == "<=" else value >= float(bound)
    return {
        "name": name,
        "value": float(f"{value:.5g}"),
        "unit": unit,
        "target": target,
        "met": met,
        "reference": {"what": reference[0], "value": round(reference[1], 3)},
        "samples": samples,
        **more,
    }


def alternate(samples: int, *measures: Callable[[], float]) -> list[float]:
    """The median of each measure, after a warm-up round."""
    rounds = [[measure() for measure in measures] for _ in range(samples + 1)][1:]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def seconds(action: Callable[[], object]) -> float:
    """The duration of a call."""
    start = perf_counter()
    action()
    return perf_counter() - start


def cpu_seconds(action: Callable[[], object], times: int = 1) -> float:
    """The processor time of one call of `times`, in this process."""
    start = process_time()
    for _ in range(times):
        action()
    return (process_time() - start) / times
