"""A sweep over all arrival points of a run, in parts that are independent of each other."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec

from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import DOCUMENT, MissingFile, read_file
from enclave_sim.files.writing import write_file
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.recording.format import Header
from enclave_sim.sweeps.outcomes import KERNEL_DIED, Arrival, Example, Table, joined
from enclave_sim.sweeps.part import Part
from machine.errors import EmulatorFault

PART = 500
"""Arrival points in a part: some seconds of work."""
_FORMAT = 1


class Kept(msgspec.Struct, frozen=True):
    """The content of a file with the parts that are done."""

    format: int
    run: str
    """SHA-256 of everything that decides about the sweep."""
    parts: dict[int, Table]


class Sweep:
    """A sweep: one input arrives at each instant of a run's life at which it can.

        sweep = Sweep("beacon", kinds=[Arrival.EXTERNAL], window=range(0, 100_000))
        print(sweep.run())

    An instant is the end of a step: of an instruction, an interrupt's delivery, a stay in the guest, a sleep. An input
    that arrives within a step takes effect at its end; only a sleep and a guest end early, so their middle is tried,
    too.

    Args:
        payload: As for `Enclave`: a built-in name, a path, or several.
        kinds: What arrives, one kind in each run.
        window: Virtual times in ns: only instants within it; None for the whole life.
        collapse: False to execute each run to its end, even if it is equal to another one from the arrival on.
        limit_ns: Virtual time at which a run counts as endless, in ns.
        enclave: The options of the enclave; by default those that follow.
        **options: As for `EnclaveOptions.of`.

    Raises:
        ConfigurationError: The enclave cannot be made, or there is no instant in the window.
    """

    def __init__(
        self,
        payload: Any = "beacon",
        *,
        kinds: Sequence[Arrival] = tuple(Arrival),
        window: range | None = None,
        collapse: bool = True,
        limit_ns: int = 10_000_000_000,
        enclave: EnclaveOptions | None = None,
        **options: Any,
    ) -> None:
        chosen = EnclaveOptions.of(**options) if enclave is None else enclave
        self._work = _Work(Scenario(payload, chosen, (), limit_ns), tuple(kinds), collapse)
        self.points: tuple[int, ...] = _instants(self._work.scenario, window)
        """Virtual times at which an input arrives, in ns."""
        self.kinds = tuple(kinds)
        if not self.points:
            raise ConfigurationError("the run has no instant in this window")
        if not self.kinds:
            raise ConfigurationError("a sweep needs something that arrives")

    @property
    def runs(self) -> int:
        """The number of runs: points times kinds."""
        return len(self.points) * len(self.kinds)

    def run(
        self, *, jobs: int = 1, state: Path | None = None, progress: Callable[[int], None] = lambda _done: None
    ) -> Table:
        """Try all points that are not done yet.

        Args:
            jobs: The number of processes.
            state: A file that keeps the parts that are done. If it exists, it must be of the same sweep, which goes on.
            progress: Called with the number of points done.

        Returns:
            The classes of all points.

        Raises:
            ConfigurationError: The file is of another sweep, or cannot be read or written.
        """
        parts = {number: self.points[at : at + PART] for number, at in enumerate(range(0, len(self.points), PART))}
        done = self._load(state)
        missing = [number for number in parts if number not in done]
        progress(sum(len(parts[number]) for number in done))
        for number, table in self._tables(
            parts, missing, jobs, lambda more: progress(sum(len(parts[one]) for one in done) + more)
        ):
            done[number] = table
            progress(sum(len(parts[one]) for one in done))
            if state is not None:
                write_file(state, msgspec.json.encode(Kept(_FORMAT, self._identity, done)))
        return self._with_digests(joined(done[number] for number in sorted(done)))

    def _with_digests(self, table: Table) -> Table:
        """Return the table with digests of fresh runs. Raises EmulatorFault if one does not end as its class says."""
        entries = []
        for entry in table.entries:
            about, at_ns = entry.outcome, entry.first.at_ns
            if about.outcome != KERNEL_DIED:
                fresh = replace(self._work.scenario, inputs=(about.arrival.at(at_ns),))
                result = fresh.enclave().run(fresh.limit_ns)
                if result.outcome != about.outcome or entry.first.digest not in ("", result.digest):
                    raise EmulatorFault(f"{about.arrival.value} at {at_ns} ns ends in another way in a fresh enclave")
                entry = msgspec.structs.replace(entry, first=Example(at_ns, result.digest))  # noqa: PLW2901
            entries.append(entry)
        return Table(tuple(entries))

    def _tables(
        self, parts: dict[int, tuple[int, ...]], missing: list[int], jobs: int, progress: Callable[[int], None]
    ) -> Iterator[tuple[int, Table]]:
        """Yield the tables of parts, as they are done."""
        if jobs == 1 or len(missing) < 2:
            for number in missing:
                yield number, self._work.table(parts[number], progress)
            return
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            waiting = {pool.submit(self._work.table, parts[number]): number for number in missing}
            try:
                while waiting:
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        yield waiting.pop(future), future.result()
            finally:
                for future in waiting:
                    future.cancel()

    @property
    def _identity(self) -> str:
        header = msgspec.json.encode(_header(self._work.scenario))
        what = [header, repr(self.points).encode(), repr([one.value for one in self.kinds]).encode()]
        return hashlib.sha256(b"\0".join(what)).hexdigest()

    def _load(self, state: Path | None) -> dict[int, Table]:
        if state is None:
            return {}
        with suppress(MissingFile):
            content = read_file(state, DOCUMENT)
            try:
                kept = msgspec.json.decode(content, type=Kept)
            except msgspec.DecodeError:
                raise ConfigurationError(f"{state} is not the state of a sweep; name a new file") from None
            if kept.format != _FORMAT or kept.run != self._identity:
                raise ConfigurationError(f"{state} is the state of another sweep; name a new file")
            return kept.parts
        return {}


class _Work(msgspec.Struct, frozen=True):
    """The work for a process, all but the points."""

    scenario: Scenario
    kinds: tuple[Arrival, ...]
    collapse: bool

    def table(self, points: Sequence[int], progress: Callable[[int], None] = lambda _done: None) -> Table:
        """Return the classes of a part."""
        return Part(self.scenario, collapse=self.collapse).run(points, self.kinds, progress)


def _header(scenario: Scenario) -> Header:
    return scenario.enclave().header


def _instants(scenario: Scenario, window: range | None) -> tuple[int, ...]:
    """Return the ends of all steps of a run, and the middle of those that an input can end."""
    enclave = scenario.enclave()
    clock, machine = enclave.machine.clock, enclave.machine
    within = range(scenario.limit_ns or 1 << 62) if window is None else window
    if within.start > 0:
        enclave.advance(within.start)
    found = [clock.now_ns] if clock.now_ns in within else []
    while not enclave.is_over and clock.now_ns < within.stop:
        before, long = clock.now_ns, machine.halted or enclave.in_guest
        if not enclave.step():
            break
        middle = (before + clock.now_ns) // 2
        if long and middle > before:
            found.append(middle)
        found.append(clock.now_ns)
    return tuple(one for one in dict.fromkeys(found) if one in within)
