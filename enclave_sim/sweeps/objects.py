"""A sweep as the object that `enclave-sim sweep interrupts --json` prints."""

from collections.abc import Callable, Sequence

import msgspec

from enclave_sim.sweeps.outcomes import Entry, Table


class ClassObject(msgspec.Struct, frozen=True):
    """Runs that ended alike."""

    arrival: str
    """The kind of input: `external`, `nmi` or `tamper`."""
    outcome: str
    """As in the result of a run; `KERNEL_DIED` if the kernel stopped for no good reason."""
    detail: str
    """As in the result of a run; empty if there is none."""
    taken_in: str
    """The boot phase in which the handler was entered; `before PROT_ENTRY`, `annihilation`, or `never`."""
    holds: bool
    """The enclave annihilated itself, and no guarantee is broken."""
    broken: tuple[str, ...]
    """The guarantees that are broken."""
    runs: int
    """The number of runs."""
    executed: int
    """Of these, runs executed to the end; the others are equal to one of them from the arrival on."""
    first_ns: int
    """Virtual time of the first arrival, in ns."""
    digest: str
    """The digest of the first run; empty if the kernel died."""
    repeat: str
    """A command that repeats the first run."""


class SweepObject(msgspec.Struct, frozen=True):
    """A sweep."""

    payloads: tuple[str, ...]
    """The payloads, as the command line names them."""
    instants: int
    """The number of instants at which each kind of input arrived."""
    runs: int
    """The number of runs."""
    executed: int
    """The number of runs executed to the end."""
    holds: bool
    """Every run ended in annihilation with all guarantees."""
    classes: tuple[ClassObject, ...]
    """All classes, by kind of input and first arrival."""


def sweep_object(names: Sequence[str], instants: int, table: Table, repeat: Callable[[Entry], str]) -> SweepObject:
    """Return a sweep as an object; `repeat` makes the command that repeats the first run of a class."""
    classes = tuple(
        ClassObject(
            one.outcome.arrival.value,
            one.outcome.outcome,
            one.outcome.detail,
            one.outcome.taken_in,
            one.outcome.holds,
            one.outcome.broken,
            one.runs,
            one.executed,
            one.first.at_ns,
            one.first.digest,
            repeat(one),
        )
        for one in table.entries
    )
    return SweepObject(tuple(names), instants, table.runs, table.executed, table.holds, classes)
