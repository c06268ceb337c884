"""Lab `detective`: a recording of an accident. Who wrote the byte, when, and with what?"""

from enclave_sim.labs.detective.judge import judge, start, values
from enclave_sim.labs.lab import ANSWER_BYTES, ANSWERS, Lab

LAB = Lab(
    "detective",
    1,
    values,
    start,
    judge,
    {ANSWERS: ANSWER_BYTES},
    lambda _case, directory: [str(directory / "accident.jsonl")],
)
"""The lab."""
