"""Collectors of what runs of a program have executed, from any number of machines."""

from collections.abc import Iterable
from weakref import ref

from enclave_sim.coverage.code import Code, code
from enclave_sim.coverage.report import CoverageReport, report_of
from enclave_sim.enclave.kernel.program import Program, aether
from machine.machine import Machine
from machine.processor.code_coverage import CodeCoverage


class Coverage:
    """The coverage of a program by the runs of machines that were attached.

        coverage = Coverage()
        for payload in ("beacon", "trespasser"):
            enclave = Enclave(payload)
            coverage.attach(enclave.machine)
            enclave.run()
        print(coverage.report().lines)

    What a machine executes, and when, does not change. A machine notes for one collector at a time.

    Args:
        program: The kernel, as `Enclave.program` and `BareKernel.program` return it; by default the built-in firmware.

    Raises:
        ConfigurationError: It has no line table.
    """

    def __init__(self, program: Program | None = None) -> None:
        self.program = program or aether()
        self.code: Code = code(self.program)
        """The code that belongs to lines."""
        self.marks = bytearray(len(self.code.where))
        """`Mark`s by address, from the start of the code: those of all runs up to the last `collect`."""
        self.transfers: set[tuple[int, int]] = set()
        """Transfers of control, as `CodeCoverage.transfers`, up to the last `collect`."""
        self.lost = 0
        """The number of transfers that could not be noted."""
        self._attached: list[tuple[ref[Machine], CodeCoverage]] = []

    def attach(self, machine: Machine) -> None:
        """Collect from a machine from now on.

        Args:
            machine: It has the program in its memory, or will load it.
        """
        noted = machine.cover(self.code.where)
        assert noted is not None
        self._attached.append((ref(machine), noted))

    def collect(self) -> None:
        """Take over what the machines have noted so far."""
        for _, noted in self._attached:
            self.add(noted.marks, noted.transfers)
            self.lost += noted.lost
        self._attached = [one for one in self._attached if one[0]() is not None]

    def add(self, marks: bytes | bytearray, transfers: Iterable[tuple[int, int]]) -> None:
        """Add what another collector of the same program has found.

        Args:
            marks: Its `marks`.
            transfers: Its `transfers`.
        """
        joined = int.from_bytes(self.marks, "little") | int.from_bytes(marks, "little")
        self.marks = bytearray(joined.to_bytes(len(self.marks), "little"))
        self.transfers.update(transfers)

    def report(self) -> CoverageReport:
        """Collect, and return the coverage by lines.

        Returns:
            The report. It does not change any more.
        """
        self.collect()
        return report_of(self.program, self.code, self.marks, self.transfers)
