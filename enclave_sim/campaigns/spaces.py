"""The faults of a plan as numbered spaces: each number is a fault at a moment, and each such fault has one number.

A space is a stratum: one model, one region or kind of register, one phase. Its size is a product, so a fault is found
by division, and a sample needs no list. A worker needs only the plan and the numbers.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from enclave_sim.campaigns.bench import Bench
from enclave_sim.campaigns.faults import (
    AnyFault,
    AnyTrigger,
    AtAddress,
    AtEvent,
    AtInstruction,
    AtTime,
    Injection,
    InterruptStorm,
    MemoryBits,
    PartFault,
    PowerLoss,
    RegisterBits,
    StuckMemory,
    StuckRegister,
)
from enclave_sim.campaigns.plan import FaultsTable, Plan
from enclave_sim.campaigns.register_uses import Class
from enclave_sim.campaigns.statistics import sample_size
from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import HARDWARE_FAULTS, AfterEvent
from enclave_sim.memory_map import region, regions
from enclave_sim.similar import did_you_mean
from enclave_sim.times import nanoseconds
from machine.architecture.processor_state import GENERAL_REGISTERS

GROUPS = {
    "general": GENERAL_REGISTERS,
    "control": ("cr0", "cr2", "cr3", "cr4", "efer"),
    "engines": (*(f"scrub{n}_{end}" for n in range(16) for end in ("base", "length")), "hash_base", "hash_length"),
    "pcrs": tuple(f"pcr{number}" for number in range(24)),
    "tables": ("gdtr_base", "gdtr_limit", "idtr_base", "idtr_limit", "tr_base", "tr_limit"),
    "vectors": (*(f"xmm{number}_{half}" for number in range(16) for half in ("low", "high")), "mxcsr"),
}
"""Groups of registers, by the name in a plan."""
_STORM = 100
_DECAYS = (0, 10_000, 1_000_000)
"""A reset with power, a short loss of it, a cold boot."""
_CLASSES = "classes are of general registers or memory, and instructions: model = 'register' or 'memory', instructions"
_DEFAULTS = {
    **dict.fromkeys(("interrupt raise", "interrupt lose"), (0x20, 0x21, 0x22, 0xFF)),
    "clock advance": (1000,),
    "timer stall": (1000,),
    "tpm delay": (1_000_000,),
    "tpm error": (0x101,),
}
"""Values of effects for which a plan names none; otherwise 1. The response code is TPM_RC_FAILURE."""


@dataclass(frozen=True)
class Space:
    """One stratum: faults, times moments."""

    name: str
    faults: "Faults"
    moments: "Moments"
    classes: tuple[Class, ...] = ()
    """For `classes`: a fault is then a bit, and a moment a class."""

    @cached_property
    def population(self) -> int:
        """The number of faults at moments that the stratum stands for."""
        return self.faults.count * self.moments.count

    @property
    def size(self) -> int:
        """The number of different runs."""
        return self.faults.count * len(self.classes) if self.classes else self.population

    def injection(self, number: int) -> Injection:
        """Return the fault and moment with a number, from 0."""
        moment, fault = divmod(number, self.faults.count)
        if self.classes:
            one = self.classes[moment]
            chosen = self.faults.at(fault)
            assert isinstance(chosen, RegisterBits | MemoryBits)
            target = {"register" if isinstance(chosen, RegisterBits) else "address": one.target}
            return Injection(msgspec.structs.replace(chosen, **target), AtInstruction(one.last))
        return Injection(self.faults.at(fault), self.moments.at(moment))

    def weight(self, number: int) -> int:
        """Return how many faults at moments the run with a number stands for."""
        return self.classes[number // self.faults.count].weight if self.classes else 1


@dataclass(frozen=True)
class Faults:
    """Numbered faults."""

    count: int
    at: Callable[[int], AnyFault]


@dataclass(frozen=True)
class Moments:
    """Numbered moments."""

    count: int
    at: Callable[[int], AnyTrigger]


@dataclass(frozen=True)
class Stratum:
    """A space, and the numbers of its runs."""

    space: Space
    numbers: Sequence[int]

    @property
    def share(self) -> float:
        """The share of the space that is run."""
        return len(self.numbers) / self.space.size if self.space.size else 0.0


def strata_of(plan: Plan, bench: Bench) -> list[Stratum]:
    """Return the strata of a plan.

    Args:
        plan: The plan.
        bench: A bench of its enclave.

    Returns:
        The strata, in the order of the plan, each with the numbers that are run, in order.

    Raises:
        ConfigurationError: A table asks for something that does not exist.
    """
    found: list[Stratum] = []
    for number, table in enumerate(plan.faults, 1):
        try:
            for space in _spaces(plan, table, bench):
                found.append(Stratum(space, _numbers(plan, space, len(found))))
        except ConfigurationError as error:
            raise ConfigurationError(f"faults table {number}: {error}") from None
    return found


def _numbers(plan: Plan, space: Space, stratum: int) -> Sequence[int]:
    sampling = plan.sampling
    if sampling.method != "random" or not space.size:
        return range(space.size)
    wanted = sampling.runs or sample_size(space.size, sampling.error, sampling.confidence)
    return range(space.size) if wanted >= space.size else _sample(space.size, wanted, plan.campaign.seed, stratum)


def _sample(size: int, count: int, seed: int, stratum: int) -> list[int]:
    """Return different numbers below `size`, the same on every host and Python (Floyd's algorithm)."""
    chosen: set[int] = set()
    for step, last in enumerate(range(size - count, size)):
        digest = hashlib.sha256(f"{seed}/{stratum}/{step}".encode()).digest()
        number = int.from_bytes(digest[:16], "little") % (last + 1)
        chosen.add(last if number in chosen else number)
    return sorted(chosen)


def _spaces(plan: Plan, table: FaultsTable, bench: Bench) -> Iterator[Space]:
    if plan.sampling.method == "classes":
        yield from _classes(table, bench)
        return
    for where, faults in _faults(table, plan.campaign.seed):
        for when, moments in _moments(table, bench):
            yield Space(" ".join(part for part in (table.model, where, when) if part), faults, moments)


def _classes(table: FaultsTable, bench: Bench) -> Iterator[Space]:
    if table.instructions is None or table.model not in ("register", "memory"):
        raise ConfigurationError(_CLASSES)
    window = range(*table.instructions)
    if table.model == "memory":
        for name, span in _spans(table):
            classes = bench.trace_memory(span, window)
            yield _classed(table, name, window, _memory_faults(table, range(1)), classes)
        return
    registers = _registers(table.where or ("general",))
    if not set(registers) <= set(GENERAL_REGISTERS):
        raise ConfigurationError(_CLASSES)
    bits = _masks(table, (1 << 64) - 1)
    faults = Faults(len(bits), lambda n: RegisterBits(registers[0], bits[n]))
    name = "+".join(table.where or ("general",))
    yield _classed(table, name, window, faults, bench.trace_registers(window).classes(registers))


def _classed(table: FaultsTable, name: str, window: range, faults: Faults, classes: list[Class]) -> Space:
    name = f"{table.model} {name} instructions {window.start}-{window.stop}"
    count = sum(one.weight for one in classes)
    moments = Moments(count, lambda n: AtInstruction(window[n % len(window)]))
    return Space(name, faults, moments, tuple(classes))


# Faults


def _masks(table: FaultsTable, allowed: int) -> list[int]:
    """Return the masks of the table's bits that are possible, a burst from each."""
    burst = (1 << table.burst) - 1
    bits = range(allowed.bit_length()) if table.bits == "all" else table.bits
    return [burst << bit for bit in bits if not burst << bit & ~allowed]


def _registers(names: Sequence[str]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        members = GROUPS.get(name) or ((name,) if "flip" in HARDWARE_FAULTS.get(name, {}) else ())
        if not members:
            known = [*GROUPS, *(part for part, effects in HARDWARE_FAULTS.items() if "flip" in effects)]
            raise ConfigurationError(
                f"there is no register {name[:40]!r}; {did_you_mean(name[:40], known)}there are {', '.join(known)}"
            )
        found += members
    return tuple(dict.fromkeys(found))


def _faults(table: FaultsTable, seed: int) -> Iterator[tuple[str, Faults]]:
    """Yield the faults of a table, by what they hit."""
    if table.model in ("register", "stuck_register"):
        for name in table.where or ("general",):
            yield name, _register_faults(table, _registers([name]))
    elif table.model in ("memory", "stuck_memory"):
        for name, span in _spans(table):
            yield name, _memory_faults(table, span)
    elif table.model == "power":
        losses = [PowerLoss(decay, seed) for decay in table.values or _DECAYS]
        yield "", Faults(len(losses), losses.__getitem__)
    else:
        given = _part_faults(table)
        yield "", Faults(len(given), given.__getitem__)


def _register_faults(table: FaultsTable, registers: Sequence[str]) -> Faults:
    found: list[AnyFault] = []
    for register in registers:
        allowed = HARDWARE_FAULTS[register]["flip"]
        assert isinstance(allowed, int)
        masks = _masks(table, allowed)
        if table.model == "register":
            found += [RegisterBits(register, bits) for bits in masks]
        elif register in GENERAL_REGISTERS:
            lasts = nanoseconds(table.lasts)
            found += [StuckRegister(register, b, value, lasts) for b in masks for value in table.values or (0, 1)]
        else:
            raise ConfigurationError(f"{register} cannot be stuck; general registers can")
    if not found:
        raise ConfigurationError("none of the bits can be inverted")
    return Faults(len(found), found.__getitem__)


def _spans(table: FaultsTable) -> Iterator[tuple[str, range]]:
    if table.addresses is not None:
        span = range(*table.addresses)
        if not span or span.start < 0:
            raise ConfigurationError(f"addresses are {list(table.addresses)}; the second must be above the first")
        yield f"{span.start:#x}-{span.stop:#x}", span
        return
    known = [one.name for one in regions()]
    for name in table.where or known:
        if name not in known:
            raise ConfigurationError(
                f"there is no region {name[:40]!r}; {did_you_mean(name[:40], known)}there are {', '.join(known)}"
            )
        yield name, range(region(name).base, region(name).end)


def _memory_faults(table: FaultsTable, span: range) -> Faults:
    bits = list(range(8)) if table.bits == "all" else [bit for bit in table.bits if bit < 8]
    if not bits:
        raise ConfigurationError("a byte has the bits 0 to 7")
    if table.model == "memory":
        burst = (1 << table.burst) - 1
        return Faults(len(span) * len(bits), lambda n: MemoryBits(span[n // len(bits)], burst << bits[n % len(bits)]))
    values, lasts = table.values or (0, 1), nanoseconds(table.lasts)
    ways = [(1 << bit, value) for bit in bits for value in values]
    return Faults(len(span) * len(ways), lambda n: StuckMemory(span[n // len(ways)], *ways[n % len(ways)], lasts))


def _part_faults(table: FaultsTable) -> list[AnyFault]:
    values = table.values
    if table.model == "storm":
        return [InterruptStorm(vector, _STORM, nanoseconds(table.lasts)) for vector in values or (0x21,)]
    effects = HARDWARE_FAULTS[table.model]
    for name in table.where:
        if name not in effects:
            raise ConfigurationError(f"{table.model} has no effect {name[:40]!r}; there are {', '.join(effects)}")
    return [
        PartFault(table.model, effect, value)
        for effect in table.where or effects
        for value in values or _DEFAULTS.get(f"{table.model} {effect}", (1,))
    ]


# Moments


def _moments(table: FaultsTable, bench: Bench) -> Iterator[tuple[str, Moments]]:
    """Yield the moments of a table, by phase."""
    golden = bench.golden
    if table.event:
        event = table.event
        yield f"at {event}", Moments(table.visits, lambda n: AtEvent(AfterEvent(event, {}, n + 1)))
        return
    if table.address is not None:
        address = table.address
        yield f"at {address:#x}", Moments(table.visits, lambda n: AtAddress(address, n + 1))
        return
    if table.instructions is not None:
        window = range(*table.instructions)
        if not window or window.start < 0:
            raise ConfigurationError(f"instructions are {list(table.instructions)}; the second must be above the first")
        yield f"instructions {window.start}-{window.stop}", Moments(len(window), lambda n: AtInstruction(window[n]))
        return
    every = nanoseconds(table.every)
    for phase, span in _times(table, bench):
        times = range(span.start, min(span.stop, golden.end_ns), every)
        if times:
            yield phase, Moments(len(times), lambda n, times=times: AtTime(times[n]))  # type: ignore[misc]


def _times(table: FaultsTable, bench: Bench) -> Iterator[tuple[str, range]]:
    golden = bench.golden
    if table.phase:
        yield table.phase, golden.span_of(table.phase)
    elif table.time is not None:
        first, last = map(nanoseconds, table.time)
        if first >= last or first >= golden.end_ns:
            raise ConfigurationError(f"time is {list(table.time)}; the run ends at {golden.end_ns} ns")
        yield f"{first}-{last} ns", range(first, last)
    else:
        yield "before the kernel", range(golden.phases[0][0])
        for _, name in golden.phases:
            yield name, golden.span_of(name)
