"""The machine under test: runs the same image, and reports in QEMU's terms."""

from dataclasses import dataclass, field

from machine.boot import loader
from machine.events import Event, InterruptRaised
from machine.machine import Machine, MachineConfiguration, Outcome
from tests.oracle.image import Image
from tests.oracle.qemu import NS_PER_INSTRUCTION, RAM_SIZE
from tests.oracle.records import End, Record, Run

_ENDS: dict[Outcome, End] = {Outcome.SHUTDOWN: "shutdown", Outcome.HALTED: "halted", Outcome.LIMIT: "limit"}


class RunawayError(Exception):
    """The machine takes more interrupts than the bound."""


@dataclass
class Recording:
    """Records interrupts and exceptions as QEMU would log them."""

    machine: Machine | None = None
    records: list[Record] = field(default_factory=list)
    most: int = 200_000

    def record(self, event: Event) -> None:
        if isinstance(event, InterruptRaised):
            if len(self.records) >= self.most:
                raise RunawayError(f"more than {self.most} interrupts; the last one: {self.records[-1]}")
            self.records.append(self._as_qemu_logs(event))

    def _as_qemu_logs(self, event: InterruptRaised) -> Record:
        """Our event has the handler's return address, QEMU's record RIP before delivery. They differ only for INT n,
        INT3 and INTO, where QEMU has the instruction itself. Without an error code QEMU logs 0.
        """
        assert self.machine is not None
        software = event.source == "software"
        rip = self.machine.cpu.hook.last if software else event.rip
        return Record(event.vector, event.error_code or 0, software, event.ring, rip, event.address)


def start(image: Image, *, portable: bool = False) -> tuple[Machine, Recording]:
    """A machine with the image loaded and a recording that follows it."""
    recording = Recording()
    configuration = MachineConfiguration(RAM_SIZE, NS_PER_INSTRUCTION, portable=portable, engines=False)
    machine = recording.machine = Machine(configuration, recording)
    modules = [loader.Module(content, command) for command, content in image.modules]
    loader.load(machine, image.elf, image.command_line, modules)
    return machine, recording


def run(image: Image, *, memory: bool = False, limit_ns: int = 4_000_000_000, portable: bool = False) -> Run:
    """Boot an image on our machine, for at most `limit_ns` of virtual time and a bounded number of interrupts."""
    machine, recording = start(image, portable=portable)
    end: End = "limit"
    try:
        outcome = machine.run(limit_ns)
        end = "exit" if outcome is Outcome.STOPPED else _ENDS[outcome]
    except RunawayError:
        pass
    status = machine.debug_exit.status
    content = bytes(machine.ram.view) if memory else None
    return Run(bytes(machine.uart.transmitted), tuple(recording.records), end, status, content)
