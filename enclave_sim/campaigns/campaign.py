"""A campaign: runs what its plan asks for and its store does not have yet, whatever happened before.

Only the coordinator writes to the store: all runs of a batch in one transaction, or none. So a kill of a worker or of
the coordinator at any instant loses at most the batches under way, and a campaign that goes on ends in the same table.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import msgspec

from enclave_sim.campaigns.bench import target_of
from enclave_sim.campaigns.executor import Executor, LocalProcesses
from enclave_sim.campaigns.outcomes import Outcome, Record
from enclave_sim.campaigns.plan import MAX_RUNS, Plan
from enclave_sim.campaigns.spaces import Stratum, strata_of
from enclave_sim.campaigns.store import Row, Store, StratumRow, row_of
from enclave_sim.campaigns.work import Batch, bench_of, identity_of
from enclave_sim.campaigns.worker_process import Finished
from enclave_sim.errors import ConfigurationError

BATCH_S = 1.0
"""Host seconds that a batch should take."""
_FIRST_BATCH, _LARGEST_BATCH, _TRIES = 8, 10_000, 2


class Progress(msgspec.Struct, frozen=True):
    """The progress of a campaign."""

    done: int
    """Runs in the store."""
    planned: int
    rate: float
    """Runs in a second of host time, since this process began."""

    @property
    def left_s(self) -> float | None:
        """Host seconds that are left at this rate; None if that is unknown."""
        return (self.planned - self.done) / self.rate if self.rate else None


class Campaign:
    """One campaign and its store.

        with Store(Path("beacon.campaign"), create=True) as store:
            campaign = Campaign(read_plan(Path("plan.toml")), store)
            campaign.run(workers=2)

    Args:
        plan: The plan.
        store: The store, new or of the same plan.

    Raises:
        ConfigurationError: The plan is impossible, or the store is of another one.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan, self.store = plan, store
        bench = bench_of(plan)
        self.strata: list[Stratum] = strata_of(plan, bench)
        self.planned = sum(len(stratum.numbers) for stratum in self.strata)
        if not 0 < self.planned <= MAX_RUNS:
            raise ConfigurationError(f"the plan has {self.planned} runs; it must have 1 to {MAX_RUNS}")
        self._program = bench.enclave.program
        rows = [
            StratumRow(number, one.space.name, one.space.population, one.space.size, len(one.numbers))
            for number, one in enumerate(self.strata)
        ]
        self.identity = identity_of(plan, bench)
        """The identity that each worker must find, too."""
        store.begin(self.identity.campaign, plan.encoded(), rows)

    def run(
        self,
        *,
        workers: int = 1,
        executor: Executor | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """Make the runs that are missing.

        Args:
            workers: The number of local processes.
            executor: Replaces them.
            progress: Called after each batch.

        Raises:
            EnclaveError: A worker cannot make the plan's enclave.
        """
        done, begun = self.store.count(), perf_counter()
        progress(Progress(done, self.planned, 0.0))
        if done >= self.planned:
            return
        ready = executor or LocalProcesses(workers)
        before = done
        try:
            ready.begin(self.plan.encoded(), self.identity)
            for stored in self._batches(ready):
                done += stored
                progress(Progress(done, self.planned, (done - before) / (perf_counter() - begun)))
        finally:
            ready.close()

    def _batches(self, executor: Executor) -> Iterator[int]:
        """Keep the executor busy until all is done. Yield the number of runs stored after each batch."""
        missing, again = _Missing(self.strata, self.store), deque[Batch]()
        under_way, size, deaths = 0, float(_FIRST_BATCH), dict[Batch, int]()
        while True:
            for _ in range(executor.free):
                batch = again.popleft() if again else missing.take(int(size))
                if batch is None:
                    break
                executor.submit(batch)
                under_way += 1
            if not under_way:
                return
            for one in executor.finished():
                under_way -= 1
                if one.records is None:
                    yield self._after_death(one, again, deaths)
                    continue
                self.store.add(self._rows(one.batch, one.records))
                if one.seconds:
                    size = min(max(1.0, len(one.records) * BATCH_S / one.seconds, size / 2), size * 2, _LARGEST_BATCH)
                yield len(one.records)

    def _after_death(self, one: Finished, again: "deque[Batch]", deaths: dict[Batch, int]) -> int:
        """Try a batch again; then its runs one by one; then store that one ends its worker. Return the runs stored."""
        deaths[one.batch] = deaths.get(one.batch, 0) + 1
        if deaths[one.batch] < _TRIES:
            again.append(one.batch)
            return 0
        if len(one.batch.numbers) > 1:
            again.extend(Batch(one.batch.stratum, (number,)) for number in one.batch.numbers)
            return 0
        injection = self.strata[one.batch.stratum].space.injection(one.batch.numbers[0])
        evidence = (f"{one.died}, {_TRIES} times",)
        record = Record(injection, Outcome.EMULATOR_LIMIT, region=target_of(injection.fault), evidence=evidence)
        self.store.add(self._rows(one.batch, (record,)))
        return 1

    def _rows(self, batch: Batch, records: tuple[Record, ...]) -> Iterator[Row]:
        space = self.strata[batch.stratum].space
        for number, record in zip(batch.numbers, records, strict=True):
            line = "" if record.rip is None else self._line(record.rip)
            yield row_of(batch.stratum, number, space.weight(number), record, line)

    def _line(self, rip: int) -> str:
        return _line(self._program.lines, rip)


class _Missing:
    """The runs that the store does not have, in order."""

    def __init__(self, strata: list[Stratum], store: Store) -> None:
        self._strata, self._store = strata, store
        self._stratum, self._at = 0, 0
        self._done: set[int] | None = None

    def take(self, count: int) -> Batch | None:
        """Return the next batch of at most `count` runs, all of one stratum; None at the end."""
        while self._stratum < len(self._strata):
            numbers = self._strata[self._stratum].numbers
            if self._done is None:
                self._done = self._store.done(self._stratum)
            found: list[int] = []
            while self._at < len(numbers) and len(found) < count:
                number = numbers[self._at]
                self._at += 1
                if number not in self._done:
                    found.append(number)
            if found:
                return Batch(self._stratum, tuple(found))
            self._stratum, self._at, self._done = self._stratum + 1, 0, None
        return None


@lru_cache(maxsize=4096)
def _line(lines: object, rip: int) -> str:
    return str(lines.at(rip) or "")  # type: ignore[attr-defined]


def stored_plan(store: Store, path: Path) -> Plan:
    """Return the plan in a store. Raises ConfigurationError if it has none."""
    found = store.meta("plan")
    if found is None:
        raise ConfigurationError(f"{path} has no plan: its campaign was never begun")
    return msgspec.json.decode(found, type=Plan)
