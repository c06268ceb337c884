"""Lab `forge`: forge an attestation, eight ways, and see why each fails."""

from enclave_sim.labs.forge.forgeries import FORGERIES
from enclave_sim.labs.forge.judge import inspected, judge, start, values
from enclave_sim.labs.lab import ANSWER_BYTES, ANSWERS, Lab

LAB = Lab(
    "forge", 1, values, start, judge, {ANSWERS: ANSWER_BYTES, **{one.file: 1 << 16 for one in FORGERIES}}, inspected
)
"""The lab."""
