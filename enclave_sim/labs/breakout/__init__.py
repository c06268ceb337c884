"""Lab `breakout`: ring 3 tries to get out. The student writes the attempts, and predicts what stops each."""

from enclave_sim.labs.breakout.judge import judge, start, values
from enclave_sim.labs.lab import ANSWER_BYTES, ANSWERS, Lab

LAB = Lab(
    "breakout",
    2,
    values,
    start,
    judge,
    {ANSWERS: ANSWER_BYTES},
    lambda _case, _directory: ["quitter", "--engine", "native", "--attestation", "off"],
)
"""The lab."""
