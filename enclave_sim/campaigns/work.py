"""The work of one worker: batches of runs, by their numbers. It is the same whatever executor ships it.

A worker needs the plan and the payloads that it names: it boots the enclave itself, and finds each fault by its number.
"""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from enclave_sim.campaigns.bench import Bench
from enclave_sim.campaigns.outcomes import Record
from enclave_sim.campaigns.plan import Plan, decoded
from enclave_sim.campaigns.spaces import Stratum, strata_of
from enclave_sim.campaigns.store import VERSION
from enclave_sim.errors import ConfigurationError


class Batch(msgspec.Struct, frozen=True):
    """Some runs of one stratum."""

    stratum: int
    numbers: tuple[int, ...]


class Identity(msgspec.Struct, frozen=True):
    """All that determines the rows of a campaign."""

    emulator: str
    """The version of Enclave Sim, and a digest of its code."""
    campaign: str
    """A digest of the plan, and of the golden run with its kernel and payloads."""


class Worker:
    """Makes the runs of a plan.

    Args:
        plan: The plan, as `Plan.encoded` returns it.
        identity: What the coordinator's is; None not to compare.

    Raises:
        ConfigurationError: The plan's enclave or one of its faults is impossible, or the identity is another one here.
    """

    def __init__(self, plan: str, identity: Identity | None = None) -> None:
        if identity is not None and (here := emulator()) != identity.emulator:
            raise ConfigurationError(f"a worker has {here}, the coordinator {identity.emulator}: install the same")
        self.plan: Plan = decoded(plan)
        self.bench = bench_of(self.plan)
        if identity not in (None, identity_of(self.plan, self.bench)):
            raise ConfigurationError("a worker has another kernel or other payloads than the coordinator")
        self.strata: Sequence[Stratum] = strata_of(self.plan, self.bench)
        self.bench.prepare(_span(self.bench, self.strata))

    def run(self, batch: Batch) -> list[Record]:
        """Make the runs of a batch.

        Args:
            batch: The batch.

        Returns:
            Their records, in the same order.
        """
        space = self.strata[batch.stratum].space
        return [self.bench.run(space.injection(number)) for number in batch.numbers]


def bench_of(plan: Plan) -> Bench:
    """Return a bench of a plan's enclave. Raises ConfigurationError."""
    return Bench(plan.payload, limit_ns=plan.limit_ns, host_limit=plan.campaign.host_limit_s, **plan.options)


def identity_of(plan: Plan, bench: Bench) -> Identity:
    """Return the identity of a plan's campaign on this host."""
    same = msgspec.structs.replace(plan, directory="")
    text = f"{VERSION}\n{bench.golden.result.digest}\n{same.encoded()}"
    return Identity(emulator(), hashlib.sha256(text.encode()).hexdigest())


def emulator() -> str:
    """Return the version of Enclave Sim, and the beginning of a digest of the code that makes and judges runs."""
    digest = hashlib.sha256()
    home = Path(__file__).resolve().parents[2]
    for path in sorted(one for room in ("machine", "enclave_sim") for one in (home / room).rglob("*.py")):
        digest.update(f"{path.relative_to(home).as_posix()}\n".encode() + path.read_bytes())
    return f"Enclave Sim {version('enclave-sim')}, code {digest.hexdigest()[:12]}"


def _span(bench: Bench, strata: Sequence[Stratum]) -> list[int]:
    """Return the earliest and the latest virtual time at which a fault of a plan may come."""
    found = set()
    for stratum in strata:
        for number in (0, stratum.space.size - 1) if stratum.space.size else ():
            at_ns = bench.golden.time_of(bench.golden.resolve(stratum.space.injection(number).trigger))
            if at_ns is not None:
                found.add(at_ns)
    return [min(found), max(found)] if found else []


RECORDS = msgspec.msgpack.Decoder(list[Record])
"""Decodes what a worker sends."""
