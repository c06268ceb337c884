"""What a run costs beside a million additions in Python: a part of `tests/bench.py`.

Both are bound by Python, so their ratio is about the same on every host. All times are those of a processor.
"""

import tempfile
from collections.abc import Callable

from enclave_sim import Enclave, Template
from enclave_sim.errors import KernelDied
from enclave_sim.guarantees import ObservedTemplate, isolated, zero_trace
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.guarantees.report import GuaranteeBroken
from enclave_sim.guarantees.verification import verify
from tests.bench_enclave import emitter, enclave_run
from tests.bench_entries import Entry, alternate, cpu_seconds, entry
from tests.bench_instructions import additions_ms

_RUNS, _CALLS = 10, 2000
_WHAT = "a million additions of global variables, ms of a processor"


def _additions() -> float:
    return additions_ms() / 1e3


def _row(name: str, value: float, target: str, additions: float, samples: int) -> Entry:
    ratio = value / additions
    unit = "ratio"
    return entry(name, ratio, unit, target, (_WHAT, additions * 1e3), samples, ms=round(value * 1e3, 4))


def runs(samples: int) -> list[Entry]:
    """Runs from a template, plain and watched, and fresh boots."""
    plain, watched = Template("beacon"), ObservedTemplate("beacon")

    def clean() -> None:
        if not plain.start().run().clean:
            raise KernelDied("an enclave left something behind")

    def guarded() -> None:
        run = watched.run()
        zero_trace([run]).check()
        isolated([run]).check()

    def boot() -> None:
        if not Enclave("beacon").boot():
            raise KernelDied("the enclave did not boot")

    def of_many(action: Callable[[], None]) -> Callable[[], float]:
        return lambda: cpu_seconds(action, _RUNS)

    *values, additions = alternate(samples, of_many(clean), of_many(guarded), of_many(boot), _additions)
    names = [
        ("a run from a template", "<= 0.03"),
        ("the same, watched by two guarantees", "<= 0.05"),
        ("a fresh boot", "<= 0.15"),
    ]
    return [_row(name, value, target, additions, samples) for (name, target), value in zip(names, values, strict=True)]


def a_host_call(samples: int) -> Entry:
    """One host call, recorded to a file: the difference between many calls and few."""
    many, few = emitter(_CALLS + 100), emitter(100)

    def recorded(module: bytes) -> float:
        with tempfile.TemporaryFile() as file:
            return enclave_run(module, file)[0]

    def one() -> float:
        return (recorded(many) - recorded(few)) / _CALLS

    value, additions = alternate(samples, one, _additions)
    return _row("a host call, recorded", value, "<= 0.0008", additions, samples)


def verification() -> Entry:
    """All guarantees of the spinner: eleven runs, one without native code."""
    before = additions_ms()

    def all_reports() -> None:
        for report in verify(Scenario("spinner")):
            if report.findings:
                raise GuaranteeBroken(report)

    elapsed = cpu_seconds(all_reports)
    return _row("verify spinner", elapsed, "<= 190", (before + additions_ms()) / 2e3, 1)
