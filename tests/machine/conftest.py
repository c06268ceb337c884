"""Small kernels for machine tests: assembled by zig, run, and read back as a list of interrupts."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

import pytest

from machine.boot import loader
from machine.events import Event
from machine.machine import Machine, MachineConfiguration, Outcome
from machine.snapshot import MachineSnapshot
from tests.machine.assembler import Assembler

LOG = 0x30_0000


@dataclass
class Log:
    """Keeps events."""

    events: list[Event] = field(default_factory=list)

    def record(self, event: Event) -> None:
        self.events.append(event)


@dataclass(frozen=True)
class Taken:
    """An interrupt as seen by the kernel under test."""

    vector: int
    error_code: int
    cs: int
    rip: int
    cr2: int
    rflags: int


@dataclass
class Ran:
    """A kernel that has run."""

    machine: Machine
    outcome: Outcome
    events: list[Event]

    @property
    def taken(self) -> list[Taken]:
        found: list[Taken] = []
        at = LOG
        while entry := self.machine.ram.read(at, 48):
            fields = struct.unpack("<6Q", entry)
            if not fields[3]:
                return found
            found.append(Taken(*fields))
            at += 48
        return found


Kernel = Callable[..., Ran]


class Machines:
    """Machines after reset. They are made once and restored, which takes a quarter of the time."""

    def __init__(self, *, portable: bool) -> None:
        self._portable = portable
        self._made: list[tuple[Machine, MachineSnapshot, Log]] = []

    def at_reset(self, number: int) -> tuple[Machine, Log]:
        """The machine with this number, counted from 0, and the log of its events."""
        if number == len(self._made):
            log = Log()
            made = Machine(MachineConfiguration(16 << 20, portable=self._portable), log)
            self._made.append((made, made.snapshot(), log))
        machine, reset, log = self._made[number]
        machine.restore(reset)
        log.events = []
        return machine, log


@pytest.fixture(scope="session")
def machines() -> dict[str, Machines]:
    return {hook: Machines(portable=hook == "portable") for hook in ("native", "portable")}


@pytest.fixture(scope="session")
def assembler(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Assembler:
    """Caches built kernels for the next run, if pytest has a cache."""
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    return Assembler(tmp_path_factory.mktemp("kernels") if cache is None else cache.mkdir("kernels"))


@pytest.fixture(scope="session")
def assemble(assembler: Assembler) -> Callable[[str, int, int, int], bytes]:
    """Build the test kernel around a body."""

    def build(body: str, ring: int, rflags: int, extra_cr4: int) -> bytes:
        return assembler.build("kernel.S", body, RING=ring, RFLAGS=rflags, EXTRA_CR4=extra_cr4)

    return build


@pytest.fixture(params=["native", pytest.param("portable", marks=pytest.mark.slow)])
def kernel(
    assemble: Callable[[str, int, int, int], bytes], machines: dict[str, Machines], request: pytest.FixtureRequest
) -> Kernel:
    """Run a body in a ring, with the native and with the portable instruction hook.

    Each call within a test has a machine of its own, which keeps its end state until the test is over.
    `memory` is the initial RAM content, by address. The fast set compares the hooks on the programs of `user_machine`,
    and on whole enclaves.
    """

    numbers = count()

    def run(
        body: str,
        ring: int = 0,
        rflags: int = 0x202,
        limit_ns: int = 100_000,
        extra_cr4: int = 0,
        memory: Mapping[int, bytes] | None = None,
    ) -> Ran:
        machine, log = machines[request.param].at_reset(next(numbers))
        loader.load(machine, assemble(body, ring, rflags, extra_cr4))
        for address, data in (memory or {}).items():
            machine.ram.write(address, data)
        outcome = machine.run(limit_ns)
        return Ran(machine, outcome, log.events)

    return run
