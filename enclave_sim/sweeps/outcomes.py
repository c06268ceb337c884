"""Outcomes of a sweep: what happened to the runs, by class, with the first run of each class."""

from collections.abc import Iterable
from enum import Enum

import msgspec

from enclave_sim.inputs import AnyInput, ExternalInterrupt, HardwareFault, Tamper

_NMI = 2


class Arrival(Enum):
    """Kinds of input that a sweep tries at each instant."""

    EXTERNAL = "external"
    """The external interrupt."""
    NMI = "nmi"
    """A non-maskable interrupt that no tamper line has caused."""
    TAMPER = "tamper"
    """The tamper line."""

    def at(self, at_ns: int) -> AnyInput:
        """Return the input that arrives at a virtual time, in ns."""
        if self is Arrival.EXTERNAL:
            return ExternalInterrupt(at_ns=at_ns)
        if self is Arrival.TAMPER:
            return Tamper(at_ns=at_ns)
        return HardwareFault(at_ns=at_ns, part="interrupt", effect="raise", value=_NMI)

    def script(self, at_ns: int) -> str:
        """Return a script with this input alone, for `--inputs`."""
        keys = {Arrival.EXTERNAL: ['kind = "external_interrupt"'], Arrival.TAMPER: ['kind = "tamper"']}.get(
            self, ['kind = "hardware_fault"', 'part = "interrupt"', 'effect = "raise"', f"value = {_NMI}"]
        )
        return "".join(f"{line}\n" for line in ["[[input]]", *keys, f"at_ns = {at_ns}"])


KERNEL_DIED = "KERNEL_DIED"
_NOT_ANNIHILATED = frozenset(["KERNEL_STOPPED", KERNEL_DIED, "LIMIT"])


class Outcome(msgspec.Struct, frozen=True):
    """A class of runs that ended alike."""

    arrival: Arrival
    outcome: str
    """As in the result of a run: `COMPLETED`, `TAMPER`, ...; `KERNEL_DIED` if the kernel stopped for no good reason."""
    detail: str
    """As in the result of a run; of a kernel that stopped, the reason."""
    taken_in: str
    """The boot phase in which the handler was entered; `before PROT_ENTRY`, `annihilation`, or `never`."""
    broken: tuple[str, ...]
    """The guarantees that do not hold; empty if all do."""

    @property
    def holds(self) -> bool:
        """True if the enclave annihilated itself, and no guarantee is broken."""
        return not self.broken and self.outcome not in _NOT_ANNIHILATED

    @property
    def verdict(self) -> str:
        """The guarantees, in words."""
        broken = f"BROKEN: {', '.join(self.broken)}" if self.broken else "hold"
        return "NOT ANNIHILATED" if self.outcome in _NOT_ANNIHILATED and not self.broken else broken


class Example(msgspec.Struct, frozen=True):
    """A run of a class."""

    at_ns: int
    """The virtual time at which the input arrives, in ns."""
    digest: str
    """The digest of the run; empty if the kernel died."""


class Entry(msgspec.Struct, frozen=True):
    """A class of runs, and how many there are."""

    outcome: Outcome
    runs: int
    """The number of arrival points that end like this."""
    executed: int
    """Of these, the runs that were executed to the end; the others are equal to one of them from the arrival on."""
    first: Example
    """The one with the earliest arrival."""


class Table(msgspec.Struct, frozen=True):
    """All classes of a sweep."""

    entries: tuple[Entry, ...]
    """In order of the first arrival, by kind of input."""

    @property
    def runs(self) -> int:
        """The number of arrival points tried, over all kinds of input."""
        return sum(one.runs for one in self.entries)

    @property
    def executed(self) -> int:
        """The number of runs that were executed to the end."""
        return sum(one.executed for one in self.entries)

    @property
    def holds(self) -> bool:
        """True if every run ended in annihilation with all guarantees."""
        return all(one.outcome.holds for one in self.entries)

    def __str__(self) -> str:
        """Return one line for each class."""
        rows = [("arrival", "runs", "first at ns", "taken in", "outcome", "guarantees")]
        for one in self.entries:
            about = one.outcome
            ended = f"{about.outcome}: {about.detail}" if about.detail else about.outcome
            rows.append(
                (
                    about.arrival.value,
                    f"{one.runs:,}",
                    f"{one.first.at_ns:,}",
                    about.taken_in,
                    ended,
                    about.verdict,
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        right = (1, 2)
        lines = (
            "  ".join(
                f"{cell:>{w}}" if n in right else f"{cell:<{w}}"
                for n, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)


def joined(tables: Iterable[Table]) -> Table:
    """Return one table for several parts of a sweep."""
    found: dict[Outcome, Entry] = {}
    for one in (entry for table in tables for entry in table.entries):
        known = found.get(one.outcome)
        if known is not None:
            first = min(known.first, one.first, key=lambda example: example.at_ns)
            one = Entry(one.outcome, known.runs + one.runs, known.executed + one.executed, first)  # noqa: PLW2901
        found[one.outcome] = one
    order = list(Arrival)
    return Table(
        tuple(
            sorted(
                found.values(), key=lambda one: (order.index(one.outcome.arrival), one.first.at_ns, one.outcome.outcome)
            )
        )
    )
