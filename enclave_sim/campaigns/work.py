"""The work of one worker: batches of runs, by their numbers. It is the same whatever executor ships it.

A worker needs the plan and the payloads that it names: it boots the enclave itself, and finds each fault by its number.
"""

from collections.abc import Sequence

import msgspec

from enclave_sim.campaigns.bench import Bench
from enclave_sim.campaigns.outcomes import Record
from enclave_sim.campaigns.plan import Plan, decoded
from enclave_sim.campaigns.spaces import Stratum, strata_of


class Batch(msgspec.Struct, frozen=True):
    """Some runs of one stratum."""

    stratum: int
    numbers: tuple[int, ...]


class Worker:
    """Makes the runs of a plan.

    Args:
        plan: The plan, as `Plan.encoded` returns it.

    Raises:
        ConfigurationError: The plan's enclave or one of its faults is impossible.
    """

    def __init__(self, plan: str) -> None:
        self.plan: Plan = decoded(plan)
        self.bench = bench_of(self.plan)
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
