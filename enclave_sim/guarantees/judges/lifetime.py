"""Short-lived: copies of a secret are only in some places, and not for long."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from enclave_sim.cancellation import Cancellation
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.guarantees.report import Finding, Report
from enclave_sim.similar import did_you_mean
from enclave_sim.time_travel.navigation.lifetimes.answers import Kind, Lifetimes, Row
from enclave_sim.time_travel.navigation.lifetimes.rows import OUTSIDE, names
from enclave_sim.time_travel.navigation.provenance.places import is_register
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.session import enclave_of
from enclave_sim.time_travel.travel import Travel
from enclave_sim.times import nanoseconds

REGISTERS = "registers"
"""All registers together, as a place."""
_NAME = "short-lived"
_WORDS = {Kind.COPY: "copies", Kind.DERIVED: "derivatives", Kind.POSSIBLE: "possible derivatives"}


@dataclass(frozen=True, slots=True)
class ShortLived:
    """A promise about a secret.

    Args:
        secret: Its name, as `Travel.lifetimes` takes it: `data`, `nonce:1`, `input:0`, `answer:0`.
        within_ns: The longest that a place may hold it, in ns of virtual time; None for any time.
        only_in: The places that may hold it: regions of memory, registers or `registers`, and the others that
            `enclave-sim lifetimes` shows; None for all.
    """

    secret: str
    within_ns: int | None = None
    only_in: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> "ShortLived":
        """Read a promise from a text.

        Args:
            text: `SECRET=TIME`, `SECRET@PLACE+PLACE` or `SECRET=TIME@PLACE+PLACE`.

        Returns:
            The promise.

        Raises:
            ConfigurationError: It promises nothing, or the time is none.
        """
        promise, at, places = text.partition("@")
        secret, equals, time = promise.partition("=")
        if not (equals or at):
            raise ConfigurationError(f"{text!r} promises nothing; write SECRET=TIME, SECRET@PLACE+PLACE, or both")
        within_ns = nanoseconds(time) if equals else None
        return cls(secret, within_ns, tuple(places.split("+")) if at else None)


def short_lived(
    scenario: Scenario,
    secret: str = "data",
    *,
    within_ns: int | None = None,
    only_in: Collection[str] | None = None,
    cancellation: Cancellation | None = None,
) -> Report:
    """Judge where a secret was in a run of a scenario, and for how long.

    Copies and derivatives count, and what something that is not modelled may have made of it. AetherHost's copies of
    payloads and the keys of the TPM do not, unless `only_in` is given: they are outside the machine.

    Args:
        scenario: The scenario, which is run once.
        secret: As for `ShortLived`.
        within_ns: As for `ShortLived`.
        only_in: As for `ShortLived`.
        cancellation: Cancels the run; None for a new token.

    Returns:
        The report: a finding for each place that held it for too long or should not have held it, with the writer and
        who ended it. It has no evidence if the secret is not in the run.

    Raises:
        ConfigurationError: A place does not exist, or nothing is promised.
    """
    if within_ns is None and only_in is None:
        raise ConfigurationError("short_lived needs within_ns or only_in")
    run = Travel(enclave_of(scenario.payload, scenario.options, scenario.inputs, cancellation=cancellation))
    known = [REGISTERS, *names(run.program)]
    for name in only_in or ():
        if name not in known and not is_register(name):
            raise ConfigurationError(
                f"there is no place {name!r}; {did_you_mean(name, known)}there are {', '.join(known)}"
            )
    try:
        found = run.lifetimes(secret, until=None if scenario.limit_ns is None else Position(scenario.limit_ns))
    except ConfigurationError as error:
        return Report(_NAME, (), {"secret": secret}, no_evidence=str(error))
    return Report(_NAME, tuple(_findings(found, within_ns, only_in)), _looked_at(found))


def _findings(found: Lifetimes, within_ns: int | None, only_in: Collection[str] | None) -> Iterator[Finding]:
    for row in found.rows:
        what = f"{_WORDS[row.kind]} of {found.name}"
        if only_in is not None and not _allowed(row, only_in):
            yield Finding(f"{what} were in {row.where}", row.since.at_ns, _evidence(row))
        elif within_ns is not None and row.longest_ns > within_ns and row.where not in OUTSIDE:
            text = f"{what} were in {row.where} for {row.longest_ns} ns, longer than {within_ns} ns"
            yield Finding(text, row.since.at_ns, _evidence(row))


def _allowed(row: Row, only_in: Collection[str]) -> bool:
    return row.where in only_in or (REGISTERS in only_in and is_register(row.where))


def _evidence(row: Row) -> tuple[str, ...]:
    ended = "it was there at the end of the run" if row.ended_by is None else f"ended by {row.ended_by}"
    return (f"made by {row.made_by}", ended, f"at {', '.join(map(str, row.places[:4]))}")


def _looked_at(found: Lifetimes) -> dict[str, int | str]:
    longest = max((row.longest_ns for row in found.rows if row.where not in OUTSIDE), default=0)
    return {
        "secret": found.name,
        "bytes": len(found.secret),
        "places": len({row.where for row in found.rows}),
        "lifetimes": len(found.lifetimes),
        "not modelled": len(found.not_modelled),
        "longest ns": longest,
    }
