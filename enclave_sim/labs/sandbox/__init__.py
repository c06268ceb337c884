"""Lab `sandbox`: exploit a validator that lacks one check, and mend it."""

from enclave_sim.labs.kernel import IMAGE, IMAGE_BYTES
from enclave_sim.labs.lab import Lab
from enclave_sim.labs.sandbox.judge import EXPLOIT, inspected, judge, start, values

LAB = Lab("sandbox", 3, values, start, judge, {EXPLOIT: 1 << 16, IMAGE: IMAGE_BYTES}, inspected)
"""The lab."""
