"""The judge of lab `detective`: it watches the damaged word through a run of the student's guest."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.events import SignalEmitted
from enclave_sim.labs.answers import Answers
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import Check, compare
from enclave_sim.labs.detective.guest import CODE, WORD, Program, program_of
from enclave_sim.labs.lab import ANSWERS, Judged
from enclave_sim.recording.recording import Recording
from enclave_sim.specification import Attestation, EngineName
from enclave_sim.time_travel import Session

_START = b"""\
# Your answers. Numbers may be written as 1000 or 0x3e8.
[scene]
# address =
# expected =

[culprit]
# rip =
# at_ns =
# before =

[first]
# at_ns =
# round =
# value =
"""
_PARTS = ("scene", "culprit", "first")
_OPTIONS: dict[str, Any] = {"engine": EngineName.NATIVE, "attestation": Attestation.OFF}
_LIMIT_NS = 100_000_000


@dataclass(frozen=True)
class Write:
    """A write to the damaged word."""

    at_ns: int
    value: int
    round: int
    """EBX after it."""


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    return {"signal": hex(program_of(case).accidents()[-1][1])}


def start(case: Case) -> dict[str, bytes]:
    """Return the starting point: the recording of the accident, and empty answers."""
    program = program_of(case)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "accident.jsonl"
        _recording(program).save(file)
        recorded = _content(file)
    return {ANSWERS: _START, "accident.jsonl": recorded, "guest.bin": program.code}


def _content(file: Path) -> bytes:
    from enclave_sim.files.reading import DOCUMENT, read_file  # noqa: PLC0415 - only to start

    return read_file(file, DOCUMENT)


def _recording(program: Program) -> Recording:
    enclave = Enclave(program.code, **_OPTIONS)
    enclave.run(_LIMIT_NS)
    assert enclave.recording is not None
    return enclave.recording


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge the answers."""
    answers = Answers(files)
    if problem := answers.unreadable(_PARTS):
        return Judged(problem)
    program = program_of(case)
    run = _recording(program)
    (emitted,) = run.of_kind(SignalEmitted)
    writes = _writes(program)
    checks = {
        "scene": tuple(_scene(answers, program, emitted)),
        "culprit": tuple(_culprit(answers, program, writes, emitted)),
        "first": tuple(_first(answers, program, writes)),
    }
    return Judged(checks, (run.digest,))


def _writes(program: Program) -> list[Write]:
    """Return the guest's writes to the damaged word: the right value, and the accidents."""
    session = Session(program.code, **_OPTIONS)
    found: list[Write] = []
    session.add_watchpoint(program.damaged, WORD)
    while len(found) <= len(program.accidents()):
        session.resume()
        value = int.from_bytes(session.machine.ram.read(program.damaged, WORD), "little")
        if value:  # the kernel's scrub before is not the guest's
            found.append(Write(session.now.at_ns, value, session.machine.cpu.registers.rbx & 0xFFFF_FFFF))
    return found


def _scene(answers: Answers, program: Program, emitted: SignalEmitted) -> Iterator[Check]:
    mistakes = {
        program.table: "There the table begins. Which word does the guest read to emit it?",
        program.damaged - WORD: "That is the last word of the table. The word emitted is after it.",
        CODE: "That is code. The word is in the heap.",
    }
    given = answers.get("scene", "address")
    yield compare("scene.address", given, program.damaged, mistakes, "The word emitted is read from another address.")
    mistakes = {
        emitted.value: "That was emitted. Which value did the guest put there first?",
        0: "The heap is zero when the guest starts, but then the guest puts a value there.",
    }
    given = answers.get("scene", "expected")
    yield compare("scene.expected", given, program.canary, mistakes, "The guest put another value there first.")


def _culprit(answers: Answers, program: Program, writes: list[Write], emitted: SignalEmitted) -> Iterator[Check]:
    right = program.store_of(program.culprit)
    stores = [program.store_of(number) for number in range(4)]
    mistakes = dict.fromkeys(stores, "The index of that function stays within the table.")
    mistakes |= {
        CODE: "That store comes first, and is right.",
        right - 5: "There its function begins. Which of its instructions stores?",
        right + 7: "That is the instruction after the store.",
    }
    yield compare("culprit.rip", answers.get("culprit", "rip"), right, mistakes, "That instruction did not write it.")
    *_, before, last = writes
    mistakes = {one.at_ns: "Then it was written, but not for the last time." for one in writes[:-1]}
    mistakes[emitted.at_ns] = "Then it was emitted. Go back from there to the last write."
    given = answers.get("culprit", "at_ns")
    yield compare("culprit.at_ns", given, last.at_ns, mistakes, "It was not written at this time.")
    mistakes = {
        last.value: "That is the value after the write.",
        program.canary: "That was lost earlier: this write was not the first accident.",
    }
    given = answers.get("culprit", "before")
    yield compare("culprit.before", given, before.value, mistakes, "Another value was there before the last write.")


def _first(answers: Answers, program: Program, writes: list[Write]) -> Iterator[Check]:
    right, accident, *_, last = writes
    mistakes = {
        right.at_ns: "Then the right value was put there.",
        last.at_ns: "That was the last accident.",
    }
    given = answers.get("first", "at_ns")
    yield compare("first.at_ns", given, accident.at_ns, mistakes, "The first accident was at another time.")
    counted = program.rounds - accident.round
    upwards = "EBX counts down from the number of rounds. The answer is its value."
    mistakes = {counted: upwards, counted + 1: upwards, last.round: "That is EBX at the last accident."}
    yield compare("first.round", answers.get("first", "round"), accident.round, mistakes, "EBX had another value then.")
    mistakes = {
        program.canary: "That was the value before.",
        last.value: "That was written by the last accident.",
    }
    yield compare(
        "first.value", answers.get("first", "value"), accident.value, mistakes, "Another value was written then."
    )
