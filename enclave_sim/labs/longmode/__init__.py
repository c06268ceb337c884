"""Lab `longmode`: repair a broken GDT and switch to long mode, in the kernel's sources."""

from enclave_sim.labs.kernel import IMAGE, IMAGE_BYTES, inspected_kernel
from enclave_sim.labs.lab import ANSWER_BYTES, ANSWERS, Lab
from enclave_sim.labs.longmode.judge import judge, start, values

LAB = Lab(
    "longmode",
    2,
    values,
    start,
    judge,
    {ANSWERS: ANSWER_BYTES, IMAGE: IMAGE_BYTES},
    lambda _case, directory: inspected_kernel(directory, ["counter"]),
)
"""The lab."""
