"""All deliberate defects, by name."""

from tests.mutants.attestation_defects import ATTESTATION
from tests.mutants.block_clock_defects import BLOCK_CLOCK_DEFECTS
from tests.mutants.emulator_defects import EMULATOR_DEFECTS
from tests.mutants.kernel_defects import KERNEL_DEFECTS
from tests.mutants.machine_defects import MACHINE_DEFECTS
from tests.mutants.rights_defects import RIGHTS_DEFECTS
from tests.mutants.vmm_defects import VMM_DEFECTS

ALL = (
    *(*KERNEL_DEFECTS, *RIGHTS_DEFECTS, *VMM_DEFECTS, *EMULATOR_DEFECTS),
    *(*MACHINE_DEFECTS, *BLOCK_CLOCK_DEFECTS, *ATTESTATION),
)
DEFECTS = {defect.name: defect for defect in ALL}


def documented() -> str:
    """The list as a Markdown table."""
    lines = ["| Mutant | Defect | Caught by |", "|---|---|---|"]
    lines += [f"| `{one.name}` | {one.description} | {', '.join(one.caught_by)} |" for one in ALL]
    return "\n".join(lines) + "\n"
