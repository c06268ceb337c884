"""Lab `boot`: follow the boot. The student reads phases, rings and sleeps off a run of their own."""

from enclave_sim.labs.boot.judge import inspected, judge, start, values
from enclave_sim.labs.lab import ANSWER_BYTES, ANSWERS, Lab

LAB = Lab("boot", 1, values, start, judge, {ANSWERS: ANSWER_BYTES}, inspected)
"""The lab."""
