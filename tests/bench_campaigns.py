"""Fault-injection campaigns: a part of `tests/bench.py`."""

import tempfile
from contextlib import closing
from pathlib import Path
from time import perf_counter

from enclave_sim import Template
from enclave_sim.campaigns import AtTime, Bench, Injection, RegisterBits
from enclave_sim.campaigns.campaign import Campaign, Progress
from enclave_sim.campaigns.dask_cluster import DaskCluster
from enclave_sim.campaigns.executor import Executor, LocalProcesses
from enclave_sim.campaigns.plan import read_plan
from enclave_sim.campaigns.store import Store
from enclave_sim.inputs import HardwareFault
from tests.bench_entries import Entry, alternate, cpu_seconds, entry

_BITS = [1 << bit for bit in range(20, 40)]
_PLAN = """
[sampling]
runs = 1500
[[faults]]
model = "register"
where = ["general"]
phase = "EXEC_LOOP"
"""


def campaigns(samples: int) -> list[Entry]:
    """The rate of runs: against bare runs of a template, of two processes, and of a cluster."""
    bench, template = Bench("beacon"), Template("beacon")
    at_ns = max(template.at_ns, bench.golden.span_of("EXEC_LOOP").start)
    bench.prepare([at_ns, bench.golden.end_ns])

    def bare() -> None:
        for bits in _BITS:
            template.start(inputs=[HardwareFault(at_ns=at_ns, part="r14", effect="flip", value=bits)]).run()

    def judged() -> None:
        for bits in _BITS:
            bench.run(Injection(RegisterBits("r14", bits), AtTime(at_ns)))

    plain, ours = alternate(samples, lambda: cpu_seconds(bare), lambda: cpu_seconds(judged))
    what = ("bare runs of a template, runs/s of a processor", len(_BITS) / plain)
    found = [entry("campaign: runs at the beginning of a template", plain / ours, "ratio", ">= 0.8", what, samples)]
    one, two, cluster = alternate(2, lambda: _rate(LocalProcesses(1)), lambda: _rate(LocalProcesses(2)), _rate_of_dask)
    found.append(
        entry("campaign: two processes", two / one, "ratio", ">= 1.8", ("one process, runs/s", one), 2, measured=two)
    )
    local = ("two local processes, runs/s", two)
    return [*found, entry("campaign: two workers of Dask", cluster / two, "ratio", ">= 0.9", local, 2)]


def _rate(executor: Executor) -> float:
    """The runs of a second, once the workers have begun."""
    seen: list[tuple[float, int]] = []

    def progress(now: Progress) -> None:
        seen.append((perf_counter(), now.done))

    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "a.campaign", create=True) as store:
        plan = Path(folder) / "plan.toml"
        plan.write_text(_PLAN)
        Campaign(read_plan(plan), store).run(executor=executor, progress=progress)
    (begun, first), (ended, last) = seen[3], seen[-1]
    return (last - first) / (ended - begun)


def _rate_of_dask() -> float:
    from distributed import LocalCluster  # takes a second

    with closing(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)) as cluster:
        return _rate(DaskCluster(cluster.scheduler_address))
