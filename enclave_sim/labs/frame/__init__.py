"""Lab `frame`: cross the rings. The student predicts what an interrupt pushes, then checks it."""

from enclave_sim.labs.frame.judge import judge, start, values
from enclave_sim.labs.lab import ANSWER_BYTES, ANSWERS, Lab

LAB = Lab(
    "frame",
    2,
    values,
    start,
    judge,
    {ANSWERS: ANSWER_BYTES},
    lambda _case, directory: [str(directory / "guest.bin"), "--engine", "native", "--attestation", "off"],
)
"""The lab."""
