"""The solutions of all labs, and the work of students who have them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from enclave_sim.labs.catalogue import LABS
from enclave_sim.labs.lab import Lab
from tests.labs.solutions import boot, breakout, detective, forge, frame, gate, jitter, leak, longmode, payload, sandbox
from tests.labs.solutions.solution import Files, Solution, Workplace

SOLUTIONS: Mapping[str, Solution] = {
    "boot": boot.SOLUTION,
    "frame": frame.SOLUTION,
    "leak": leak.SOLUTION,
    "detective": detective.SOLUTION,
    "payload": payload.SOLUTION,
    "breakout": breakout.SOLUTION,
    "forge": forge.SOLUTION,
    "gate": gate.SOLUTION,
    "sandbox": sandbox.SOLUTION,
    "jitter": jitter.SOLUTION,
    "longmode": longmode.SOLUTION,
}

COMPILED = frozenset(("gate", "jitter", "longmode", "sandbox"))
"""Labs whose solution is built, which takes seconds."""


def labs(slow: frozenset[str]) -> list[object]:
    """Parameters of a test of every lab, of which some are left to the slow set."""
    return [pytest.param(lab, id=lab.name, marks=[pytest.mark.slow] * (lab.name in slow)) for lab in LABS]


def workplace(lab: Lab, student: str) -> Workplace:
    case = lab.case(student)
    return Workplace(lab.page(case).decode(), lab.start(case), Path(_directory(lab.name, student).name))


@cache
def _directory(_lab: str, _student: str) -> "TemporaryDirectory[str]":
    return TemporaryDirectory()


@cache
def solved(lab: Lab, student: str) -> Files:
    return {**lab.start(lab.case(student)), **SOLUTIONS[lab.name].solve(workplace(lab, student))}
