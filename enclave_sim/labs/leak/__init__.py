"""Lab `leak`: find the leak. Five kernels scrub imperfectly; the student finds the bytes, and proves it by a run."""

from enclave_sim.labs.lab import ANSWER_BYTES, ANSWERS, Lab
from enclave_sim.labs.leak.judge import inspected, judge, start, values

LAB = Lab("leak", 1, values, start, judge, {ANSWERS: ANSWER_BYTES}, inspected)
"""The lab."""
