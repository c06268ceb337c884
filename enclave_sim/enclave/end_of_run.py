"""The end of an enclave's run: the scan for residue, and the result."""

from enclave_sim import events
from enclave_sim.enclave.devices.enclave_block import EnclaveBlock
from enclave_sim.enclave.enclave_loop import EnclaveLoop
from enclave_sim.enclave.recorders import Recorders
from enclave_sim.recording.outcome.residue import Residue, scan
from enclave_sim.recording.outcome.summary import RunResult
from machine.boot.elf import Segment
from machine.machine import Machine, Outcome


class EndOfRun:
    """Runs an enclave to its end and records the findings there."""

    def __init__(
        self, machine: Machine, block: EnclaveBlock, loop: EnclaveLoop, recorders: Recorders, image: tuple[Segment, ...]
    ) -> None:
        self._machine = machine
        self._block = block
        self._loop = loop
        self._recorders = recorders
        self._image = image
        self.result: RunResult | None = None
        """The result of a run that has ended; None before that, and at a limit."""
        self.residue = Residue((), 0)
        """The residue found by the scan at the end of the last run."""

    def run(self, limit_ns: int | None) -> RunResult:
        """Run to the end or the limit; see `Enclave.run`."""
        if self.result is not None:
            return self.result
        outcome = self._loop.run(limit_ns)
        if outcome is Outcome.LIMIT and limit_ns is not None:
            self._recorders.stop_at(limit_ns)
        dormant = self._block.dormant
        result = self._recorders.result(
            dormant=dormant,
            residue=self._record_residue() if dormant else Residue((), 0),
            virtual_ns=self._machine.clock.now_ns,
            serial=self.serial,
        )
        if outcome is not Outcome.LIMIT:
            self.result = result
        return result

    def conclude(self) -> bool:
        """Record the end of the run, if there is one; see `Enclave.conclude`."""
        if not self._block.dormant:
            return self._loop.conclude()
        self._record_residue()
        return True

    def scan(self) -> Residue:
        """Scan all of RAM for residue; see `Enclave.scan_residue`."""
        return scan(self._machine.ram, self._image)

    @property
    def serial(self) -> str:
        """The text that the kernel has sent to the serial line so far."""
        return self._machine.uart.transmitted.decode("ascii", "replace")

    def _record_residue(self) -> Residue:
        residue = self.residue = self.scan()
        self._machine.journal.emit(events.ResidueScanned, residue.scanned_bytes, residue.total_bytes)
        return residue
