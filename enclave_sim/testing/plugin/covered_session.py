"""Coverage of kernels by all tests of a session, in one process or in workers of pytest-xdist.

pytest imports this module whenever it starts, so it does not import the emulator.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclave_sim.errors import ConfigurationError
from enclave_sim.files.writing import write_file
from enclave_sim.following import made

if TYPE_CHECKING:
    from enclave_sim.coverage import Coverage
    from enclave_sim.enclave.kernel.program import Program
    from machine.machine import Machine

_OUTPUT = "enclave_sim_coverage"


class CoveredSession:
    """A plugin of a session with `--enclave-coverage`.

    Args:
        config: pytest's.
        path: The file to write.
    """

    def __init__(self, config: pytest.Config, path: str) -> None:
        self._worker: dict[str, Any] | None = getattr(config, "workeroutput", None)
        self._path = Path(config.invocation_params.dir, path)
        self._collected: dict[bytes, Coverage | None] = {}
        self._texts: list[str] = []
        self._said = ""
        made.append(self._follow)
        config.add_cleanup(lambda: made.remove(self._follow))

    def _follow(self, machine: "Machine", program: "Callable[[], Program]") -> None:
        """Cover a new machine, unless its kernel has no line table."""
        from enclave_sim.coverage import Coverage  # noqa: PLC0415

        known = program()
        image = known.lines.image
        if image not in self._collected:
            try:
                self._collected[image] = Coverage(known)
            except ConfigurationError:
                self._collected[image] = None
        collected = self._collected[image]
        if collected is not None:
            collected.attach(machine)

    def pytest_runtest_teardown(self) -> None:
        """Take over what the test has executed."""
        for one in self._collected.values():
            if one is not None:
                one.collect()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker has found."""
        self._texts += getattr(node, "workeroutput", {}).get(_OUTPUT, [])

    def pytest_sessionfinish(self) -> None:
        """Write the file, or send it to the process that does. Raises UsageError if it cannot be written."""
        if self._collected:
            from enclave_sim.coverage.lcov import lcov  # noqa: PLC0415

            self._texts += [lcov(one.report()) for one in self._collected.values() if one is not None]
        if self._worker is not None:
            self._worker[_OUTPUT] = self._texts
            return
        from enclave_sim.coverage.lcov import merged, totals  # noqa: PLC0415

        text = merged(self._texts)
        try:
            write_file(self._path, text.encode())
        except ConfigurationError as error:
            self._said = str(error)
        else:
            self._said = f"{self._path}: {totals(text)}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Report the file."""
        if self._said:
            terminalreporter.section("coverage of kernels")
            terminalreporter.write_line(self._said)
