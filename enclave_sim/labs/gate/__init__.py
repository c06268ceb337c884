"""Lab `gate`: write an interrupt gate and its handler, in the kernel's sources."""

from enclave_sim.labs.gate.judge import judge, start, values
from enclave_sim.labs.kernel import IMAGE, IMAGE_BYTES, inspected_kernel
from enclave_sim.labs.lab import Lab

LAB = Lab(
    "gate",
    3,
    values,
    start,
    judge,
    {IMAGE: IMAGE_BYTES},
    lambda _case, directory: inspected_kernel(directory, ["beacon"]),
)
"""The lab."""
