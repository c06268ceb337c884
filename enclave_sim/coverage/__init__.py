"""Coverage of a kernel by runs: lines, branches, edges and functions.

from enclave_sim import Enclave
from enclave_sim.coverage import Coverage

coverage = Coverage()
enclave = Enclave("beacon")
coverage.attach(enclave.machine)
enclave.run()
print(coverage.report().lines)
"""

from typing import TYPE_CHECKING

from enclave_sim._lazy import lazily

if TYPE_CHECKING:
    from enclave_sim.coverage.coverage import Coverage as Coverage
    from enclave_sim.coverage.report import Count as Count
    from enclave_sim.coverage.report import CoverageReport as CoverageReport
    from enclave_sim.coverage.report import FileCoverage as FileCoverage

_HOMES = {"Coverage": "coverage", "Count": "report", "CoverageReport": "report", "FileCoverage": "report"}
__all__ = sorted(_HOMES)  # noqa: PLE0605 - the keys are strings
__getattr__ = lazily(__name__, _HOMES)
