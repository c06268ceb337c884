"""Lab `jitter`: find out why wake-ups are late, and mend the kernel."""

from enclave_sim.labs.jitter.judge import judge, start, values
from enclave_sim.labs.kernel import IMAGE, IMAGE_BYTES, inspected_kernel
from enclave_sim.labs.lab import Lab

LAB = Lab(
    "jitter",
    3,
    values,
    start,
    judge,
    {IMAGE: IMAGE_BYTES},
    lambda _case, directory: inspected_kernel(directory, ["counter", "digest", "--cycles", "4"]),
)
"""The lab."""
