"""Small kernels for tests of the machine: assembled by zig, run, and read back as a list of interrupts."""

import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from machine.boot import loader
from machine.events import Event
from machine.machine import Machine, MachineConfiguration, Outcome

HERE = Path(__file__).parent
LOG = 0x30_0000


@dataclass
class Log:
    """Keeps events."""

    events: list[Event] = field(default_factory=list)

    def record(self, event: Event) -> None:
        self.events.append(event)


@dataclass(frozen=True)
class Taken:
    """An interrupt as the kernel under test saw it."""

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


@pytest.fixture(scope="session")
def assemble(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, int, int], bytes]:
    """Build the test kernel around a body."""
    directory = tmp_path_factory.mktemp("kernels")
    built: dict[tuple[str, int, int, int], bytes] = {}

    def build(body: str, ring: int, rflags: int, extra_cr4: int) -> bytes:
        key = (body, ring, rflags, extra_cr4)
        if key not in built:
            (directory / "body.inc").write_text(body)
            output = directory / "kernel.elf"
            command = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-freestanding-none", "-nostdlib"]
            command += [
                "-static",
                f"-DRING={ring}",
                f"-DRFLAGS={rflags}",
                f"-DEXTRA_CR4={extra_cr4}",
                f'-DBODY="{directory}/body.inc"',
            ]
            command += [f"-Wl,-T,{HERE}/link.ld", "-Wl,-z,max-page-size=4096"]
            subprocess.run([*command, str(HERE / "kernel.S"), "-o", str(output)], check=True)
            built[key] = output.read_bytes()
        return built[key]

    return build


@pytest.fixture(params=["native", "portable"])
def kernel(assemble: Callable[[str, int, int, int], bytes], request: pytest.FixtureRequest) -> Kernel:
    """Run a body in a ring, with the native and with the portable instruction hook."""

    def run(body: str, ring: int = 0, rflags: int = 0x202, limit_ns: int = 100_000, extra_cr4: int = 0) -> Ran:
        log = Log()
        machine = Machine(MachineConfiguration(16 << 20, portable=request.param == "portable"), log)
        loader.load(machine, assemble(body, ring, rflags, extra_cr4))
        outcome = machine.run(limit_ns)
        return Ran(machine, outcome, log.events)

    return run
