"""Nothing lost, nothing twice: a campaign whose processes are killed ends in the table of an undisturbed one."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from enclave_sim.campaigns.campaign import Campaign
from enclave_sim.campaigns.executor import LocalProcesses
from enclave_sim.campaigns.plan import read_plan
from enclave_sim.campaigns.store import Store
from enclave_sim.campaigns.work import Batch, Identity, Worker
from enclave_sim.campaigns.worker_process import Finished
from enclave_sim.errors import ConfigurationError
from tests.enclave_sim.campaigns.small_campaign import plan_file, table, undisturbed


def coordinator(plan: Path, store: Path) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "enclave_sim", "campaign", "run", str(plan), "--store", str(store), "--workers", "2"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def children(pid: int) -> list[int]:
    """The worker processes of a coordinator."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(one) for one in listed]


def kill_often(directory: Path, plan: Path, kills: int, runs: int) -> Path:
    """Kill coordinator or worker at random instants, and let the campaign end."""
    store, chance = directory / "killed.campaign", random.Random(5)
    for number in range(kills):
        process = coordinator(plan, store)
        wait_for_runs(store, process, min(runs - 1, 1 + number * runs // (kills + 1)))
        time.sleep(chance.random() * 0.2)
        workers = children(process.pid)
        victim = chance.choice([process.pid, *workers]) if number else process.pid
        with suppress(ProcessLookupError):  # it was done first
            os.kill(victim, signal.SIGKILL)
        if victim != process.pid:
            time.sleep(chance.random() * 0.2)
            process.kill()
        process.wait()
    assert coordinator(plan, store).wait() == 0
    return store


def wait_for_runs(store: Path, process: "subprocess.Popen[bytes]", least: int) -> None:
    while process.poll() is None:
        if store.exists() and stored(store) >= least:
            return
        time.sleep(0.02)


def stored(path: Path) -> int:
    try:
        with Store(path) as store:
            return store.count()
    except (ConfigurationError, sqlite3.Error):  # it is just being made
        return 0


@pytest.mark.slow
def test_a_killed_campaign_ends_in_the_same_table(tmp_path: Path) -> None:
    plan = plan_file(tmp_path, 10)
    expected = undisturbed(tmp_path, plan)
    assert table(kill_often(tmp_path, plan, 2, len(expected))) == expected


@pytest.mark.long
def test_a_campaign_that_is_killed_fifty_times_ends_in_the_same_table(tmp_path: Path) -> None:
    plan = plan_file(tmp_path, 1000)
    expected = undisturbed(tmp_path, plan)
    assert table(kill_often(tmp_path, plan, 50, len(expected))) == expected


class DeadlyExecutor:
    """Runs batches in this process; one run kills its worker whenever it is tried."""

    worker: Worker

    def __init__(self, deadly: tuple[int, int]) -> None:
        self.deadly = deadly
        self.given: list[Batch] = []
        self.free = 2

    def begin(self, plan: str, identity: Identity) -> None:
        self.worker = Worker(plan, identity)

    def submit(self, batch: Batch) -> None:
        self.free -= 1
        self.given.append(batch)

    def finished(self) -> list[Finished]:
        self.free += 1
        batch = self.given.pop()
        if batch.stratum == self.deadly[0] and self.deadly[1] in batch.numbers:
            return [Finished(batch, None, died="the worker was ended by SIGSEGV")]
        return [Finished(batch, tuple(self.worker.run(batch)), 0.5)]

    def close(self) -> None:
        self.given.clear()


@pytest.mark.slow
def test_a_run_that_kills_its_worker_is_a_named_outcome_and_harms_no_other(tmp_path: Path) -> None:
    plan = read_plan(plan_file(tmp_path, 10))
    with Store(tmp_path / "a.campaign", create=True) as store:
        Campaign(plan, store).run(executor=DeadlyExecutor((-1, -1)))  # type: ignore[arg-type]
        rows = list(store.rows())
    deadly = (int(rows[3][0] or 0), int(rows[3][1] or 0))
    with Store(tmp_path / "b.campaign", create=True) as store:
        Campaign(plan, store).run(executor=DeadlyExecutor(deadly))  # type: ignore[arg-type]
        found = list(store.rows())
    assert found[:3] + found[4:] == rows[:3] + rows[4:]
    assert found[3][3] == "emulator limit"
    assert found[3][-1] == "the worker was ended by SIGSEGV, 2 times"


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    plan = read_plan(plan_file(tmp_path, 10))
    with Store(tmp_path / "a.campaign", create=True) as store:
        identity = Campaign(plan, store).identity
    executor = LocalProcesses(1)
    executor.begin(plan.encoded(), identity)
    try:
        batch = Batch(0, (1, 2))
        executor.submit(batch)
        os.kill(executor.pids[0], signal.SIGKILL)
        (ended,) = wait(executor)
        assert (ended.batch, ended.records, ended.died) == (batch, None, "the worker was ended by SIGKILL")
        executor.submit(batch)
        (ended,) = wait(executor)
        assert ended.records is not None
        assert len(ended.records) == 2
    finally:
        executor.close()


def wait(executor: LocalProcesses) -> list[Finished]:
    found: list[Finished] = []
    while not found:
        found = list(executor.finished())
    return found
