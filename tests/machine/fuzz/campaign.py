"""A campaign: endless cases in child processes, a corpus of those with new behaviour, and findings.

Everything is in one directory: `corpus.jsonl`, one case per line with its new behaviour; `findings/`, one file each,
shrunk; `progress.json`, from which a later run continues.
"""

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.machine.fuzz import lane
from tests.machine.fuzz.behaviour import behaviours, opcode
from tests.machine.fuzz.case import Case, generate, vary
from tests.machine.fuzz.lane import Death, Desk, Send
from tests.machine.fuzz.oracle import Oracle
from tests.machine.fuzz.shrink import shrink
from tests.machine.fuzz.trial import death_rule, rules_broken
from tests.machine.programs.program import Mode

PATIENCE_S = 10.0
_BATCH = 5000
"""Cases per child; then another starts with the current corpus."""

_TWICE = 8
"""Every this many cases, one is run in all ways, which takes as long as eight cases."""


@dataclass(frozen=True)
class New:
    """A case with new behaviour."""

    text: str
    behaviours: tuple[str, ...]


@dataclass(frozen=True)
class Broken:
    """A case that broke a rule."""

    text: str
    rule: str
    what: str


@dataclass
class Summary:
    """The results of a campaign."""

    cases: int = 0
    seconds: float = 0
    behaviours: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    """The number of findings of each kind."""


class Corpus:
    """The cases with new behaviour, in memory and in a file."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / "corpus.jsonl"
        self.cases: list[str] = []
        self.known: set[str] = set()
        if self._path.exists():
            for line in self._path.read_text().splitlines():
                entry = json.loads(line)
                self._take(entry["case"], entry["new"])

    def _take(self, case: str, names: list[str]) -> bool:
        fresh = [name for name in names if name not in self.known]
        self.known.update(fresh)
        if fresh:
            self.cases.append(case)
        return bool(fresh)

    def add(self, new: New) -> None:
        """Keep a case, if its behaviour is still new."""
        names = list(new.behaviours)
        if self._take(new.text, names):
            with self._path.open("a") as file:
                file.write(json.dumps({"case": new.text, "new": names}) + "\n")


def case_of(seed: int, index: int, cases: list[str]) -> Case:
    """The case with a given number in a campaign. The same corpus gives the same case."""
    random = Random(f"{seed}/{index}")
    if cases and random.randrange(2):
        return vary(random, Case.read(random.choice(cases)), Case.read(random.choice(cases)))
    return generate(random)


def kind_of(rule: str, case: Case) -> str:
    """The key by which findings are merged: the rule, the mode, and the opcodes of the case."""
    long = case.state.mode is Mode.LONG
    return f"{rule}: {case.state.mode.value} ring {case.state.ring}: " + " ".join(
        opcode(p, long=long) for p in case.pieces
    )


class Campaign:
    """Runs cases, resuming after the last run in `directory`. `seed` selects the cases."""

    def __init__(self, directory: Path, seed: int, patience_s: float = PATIENCE_S) -> None:
        self._directory = directory
        self._seed = seed
        self._patience_s = patience_s
        self.corpus = Corpus(directory)
        self._progress = directory / f"progress-{seed}.json"
        self._next = json.loads(self._progress.read_text())["next"] if self._progress.exists() else 0
        self._oracle = Oracle()
        """Runs nothing here; children begin with it."""
        self._rules: Counter[str] = Counter()
        self.summary = Summary()

    def run(self, cases: int | None) -> Summary:
        """Run `cases` more of them, or without end. Findings are printed as they occur."""
        began = time.monotonic()
        done = 0
        while cases is None or done < cases:
            batch = _BATCH if cases is None else min(_BATCH, cases - done)
            ran = self._batch(batch)
            done += ran
            self._next += ran
            self._progress.write_text(json.dumps({"next": self._next}))
            self.summary.cases, self.summary.seconds = done, time.monotonic() - began
            self.summary.behaviours = len(self.corpus.known)
            _say(self.summary)
        return self.summary

    def _batch(self, size: int) -> int:
        """Run up to `size` cases in one child. Returns their number; a death ends it early."""
        seed, first, cases, known = self._seed, self._next, list(self.corpus.cases), set(self.corpus.known)

        def work(desk: Desk, send: Send) -> None:
            for index in range(first, first + size):
                case = case_of(seed, index, cases)
                text = case.text()
                desk.begin(text)
                result, broken = self._oracle.judge(case, twice=index % _TWICE == 0)
                for finding in broken:
                    send(Broken(text, finding.rule, finding.what))
                if result is not None:
                    fresh = tuple(name for name in behaviours(case, result) if name not in known)
                    if fresh:
                        known.update(fresh)
                        send(New(text, fresh))

        for message in lane.run(work, self._patience_s):
            if isinstance(message, New):
                self.corpus.add(message)
            elif isinstance(message, Broken):
                self._found(message)
            elif isinstance(message, Death):
                if not message.number:
                    raise RuntimeError(f"a child ended before its first case: {message.cause}")
                self._found(Broken(message.text, death_rule(message), "it does not"))
                return message.number
        return size

    def _found(self, broken: Broken) -> None:
        """Shrink a finding and keep it, unless there is one of its kind."""
        self._rules[broken.rule] += 1
        met = self._rules[broken.rule]
        if met > 20 and met & met - 1:  # less and less often, because the same fault will recur
            return
        oracle, patience_s = self._oracle, self._patience_s
        case = shrink(Case.read(broken.text), lambda tried: broken.rule in rules_broken(tried, oracle, patience_s))
        kind, small = kind_of(broken.rule, case), case.text()
        self.summary.findings[kind] += 1
        if self.summary.findings[kind] > 1:
            return
        findings = self._directory / "findings"
        findings.mkdir(exist_ok=True)
        path = findings / f"{len(list(findings.iterdir())):04}.json"
        path.write_text(
            json.dumps({"kind": kind, "what": broken.what, "case": small, "found as": broken.text}, indent=1)
        )
        print(f"{kind}\n  {broken.what}\n  {sys.executable} -m tests.machine.fuzz --reproduce {path}", flush=True)


def _say(summary: Summary) -> None:
    speed = summary.cases / max(summary.seconds, 1e-9)
    kinds = len(summary.findings)
    print(f"{summary.cases} programs, {speed:.0f}/s, {summary.behaviours} behaviours, {kinds} findings", flush=True)
