"""All deliberate defects, by name."""

from tests.mutants.emulator_defects import EMULATOR_DEFECTS
from tests.mutants.kernel_defects import KERNEL_DEFECTS
from tests.mutants.rights_defects import RIGHTS_DEFECTS

DEFECTS = {defect.name: defect for defect in (*KERNEL_DEFECTS, *RIGHTS_DEFECTS, *EMULATOR_DEFECTS)}
