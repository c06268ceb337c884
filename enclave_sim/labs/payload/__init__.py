"""Lab `payload`: write, sign and deploy a payload."""

from enclave_sim.labs.lab import Lab
from enclave_sim.labs.payload.judge import ANCHOR, MODULE, inspected, judge, start, values

LAB = Lab("payload", 2, values, start, judge, {MODULE: 1 << 16, ANCHOR: 1 << 13}, inspected)
"""The lab."""
