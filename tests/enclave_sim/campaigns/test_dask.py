"""Campaigns on a real cluster of Dask: the same table as here, whichever processes die, and errors in one line.

The cluster is made as docs/campaigns.md says.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from enclave_sim.campaigns import dask_cluster
from enclave_sim.campaigns.campaign import Campaign, Progress
from enclave_sim.campaigns.dask_cluster import DaskCluster
from enclave_sim.campaigns.plan import read_plan
from enclave_sim.campaigns.store import Row, Store
from enclave_sim.campaigns.work import Batch, Identity, emulator
from enclave_sim.errors import ConfigurationError, EnclaveError
from tests.enclave_sim.campaigns import deadly
from tests.enclave_sim.campaigns.small_campaign import plan_file, table, undisturbed
from tests.enclave_sim.cli.command import assert_refused, command

ROOT = Path(__file__).parents[3]


def start(directory: Path, *words: str) -> "subprocess.Popen[bytes]":
    # A run that kills its worker is tried by two workers, not by four.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *words, "--no-dashboard", "--scheduler-file", str(directory / "scheduler.json")],
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers."""
    directory = tmp_path_factory.mktemp("cluster")
    started = [start(directory, "scheduler", "--host", "127.0.0.1", "--port", "0")]
    try:
        while not (directory / "scheduler.json").exists():
            assert started[0].poll() is None
            time.sleep(0.1)
        started.append(start(directory, "worker", "--nworkers", "2", "--nthreads", "1"))
        yield str(json.loads((directory / "scheduler.json").read_text())["address"])
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """A plan with ten runs in each of three strata, and its table."""
    directory = tmp_path_factory.mktemp("expected")
    plan = plan_file(directory, 10)
    return plan, undisturbed(directory, plan)


def found(plan: Path, store: Path, cluster: DaskCluster, *, kill: Any = None) -> list[Row]:
    """The table of a campaign on a cluster. Checks that each run was counted once."""
    seen: list[Progress] = []

    def progress(now: Progress) -> None:
        seen.append(now)
        if kill is not None and len(seen) == 2:
            kill(cluster)

    with Store(store, create=True) as results:
        Campaign(read_plan(plan), results).run(executor=cluster, progress=progress)
    assert seen[-1].done == seen[-1].planned
    return table(store)


def kill_a_worker(cluster: DaskCluster) -> None:
    os.kill(next(iter(cluster._client.run(os.getpid).values())), signal.SIGKILL)


@pytest.mark.slow
def test_a_cluster_makes_the_same_table_with_a_worker_killed_in_the_middle(
    scheduler: str, expected: tuple[Path, list[Row]], tmp_path: Path
) -> None:
    plan, rows = expected
    assert found(plan, tmp_path / "a.campaign", DaskCluster(scheduler), kill=kill_a_worker) == rows


@pytest.mark.slow
def test_a_run_that_kills_its_process_is_a_named_outcome_and_harms_no_other(
    scheduler: str, expected: tuple[Path, list[Row]], tmp_path: Path
) -> None:
    plan, rows = expected
    work = partial(deadly.kills_its_process, (int(rows[3][0] or 0), int(rows[3][1] or 0)))
    other = found(plan, tmp_path / "a.campaign", DaskCluster(scheduler, run=work))
    assert other[:3] + other[4:] == rows[:3] + rows[4:]
    assert (other[3][3], other[3][-1]) == ("emulator limit", "the worker was ended by SIGKILL, 2 times")


@pytest.mark.slow
def test_a_run_that_kills_a_worker_of_dask_harms_no_other(scheduler: str, tmp_path: Path) -> None:
    plan = plan_file(tmp_path, 1)
    rows = undisturbed(tmp_path, plan)
    work = partial(deadly.kills_its_worker, (int(rows[1][0] or 0), int(rows[1][1] or 0)))
    other = found(plan, tmp_path / "a.campaign", DaskCluster(scheduler, run=work))
    assert [other[0], other[2]] == [rows[0], rows[2]]
    assert (other[1][3], other[1][-1]) == ("emulator limit", "each worker of Dask that had it died, 2 times")


def wait(cluster: DaskCluster) -> None:
    while True:
        assert not list(cluster.finished())


def error_of(cluster: DaskCluster, identity: Identity, plan: Path) -> str:
    """The error with which the first batch ends."""
    try:
        cluster.begin(read_plan(plan).encoded(), identity)
        cluster.submit(Batch(0, (1,)))
        with pytest.raises(EnclaveError) as raised:
            wait(cluster)
    finally:
        cluster.close()
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.slow
def test_another_version_is_one_error(scheduler: str, expected: tuple[Path, list[Row]]) -> None:
    error = error_of(DaskCluster(scheduler), Identity("Enclave Sim 9.0", ""), expected[0])
    assert error.endswith(f"a worker has {emulator()}, the coordinator Enclave Sim 9.0: install the same")
    error = error_of(DaskCluster(scheduler), Identity(emulator(), "another"), expected[0])
    assert error.endswith("a worker has another kernel or other payloads than the coordinator")


@pytest.mark.slow
def test_a_worker_without_our_code_is_one_error(
    scheduler: str, expected: tuple[Path, list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def run(*_):\n    return 'records', 0.0, b''\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    cluster = DaskCluster(scheduler, run=importlib.import_module("only_here").run)
    error = error_of(cluster, Identity("", ""), expected[0])
    assert f"the Dask cluster at {scheduler} cannot run this version: " in error
    assert "only_here" in error


@pytest.mark.slow
def test_a_scheduler_that_cannot_be_used_is_one_error(
    expected: tuple[Path, list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_cluster, "_CONNECT_S", 0.5)
    words: list[str | Path] = ["campaign", "run", expected[0], "--store", tmp_path / "a.campaign", "--scheduler"]
    assert_refused(command(*words, "tcp://127.0.0.1:1"), "no Dask scheduler answers at tcp://127.0.0.1:1 within 0.5 s")
    assert_refused(command(*words, "nowhere"), "at nowhere: it must be as tcp://host:8786")
    assert_refused(command(*words, "x", "--workers", "1"), "--scheduler and --workers exclude each other")
    assert not (tmp_path / "a.campaign").exists()


@pytest.mark.slow
def test_a_scheduler_without_workers_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "_CONNECT_S", 2.0)
    process = start(tmp_path, "scheduler", "--host", "127.0.0.1", "--port", "0")
    try:
        while not (tmp_path / "scheduler.json").exists():
            assert process.poll() is None
            time.sleep(0.1)
        address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
        with pytest.raises(ConfigurationError, match="has no workers; dask worker starts one"):
            DaskCluster(address)
    finally:
        process.terminate()
        process.wait()


def test_without_dask_the_extra_is_named(expected: tuple[Path, list[Row]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigurationError, match=r"a scheduler needs Dask: pip install '.\[dask\]' in a clone"):
        DaskCluster("tcp://127.0.0.1:1")
