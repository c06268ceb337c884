"""Commands from a user's view, as whole processes: a part of `tests/bench.py`."""

import resource
import subprocess
import sys

from tests.bench_entries import CACHING, Entry, alternate, entry

_IMPORTS = ("enclave_sim.cli.app", "enclave_sim.enclave", "enclave_sim.enclave.engine.wasmtime_engine")


def spawn(*arguments: str) -> float:
    """Processor seconds of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=CACHING)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def process(samples: int) -> list[Entry]:
    """The processor time of commands, compared with that of two indispensable libraries."""
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
