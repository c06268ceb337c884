"""The judge of lab `leak`: it compares what the student found, and runs the proofs on the student's kernels."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

import payloads as built_in
from enclave_sim.enclave.configuration import MAX_PAYLOADS, EnclaveConfiguration
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.inputs import Tamper
from enclave_sim.labs.answers import Answers
from enclave_sim.labs.bounded import NoResult, piece
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import RIGHT, Check, compare
from enclave_sim.labs.lab import ANSWERS, Judged
from enclave_sim.labs.leak.variants import LETTERS, TRACED, Variant, variants
from enclave_sim.memory_map import region, regions
from enclave_sim.reasons import reason
from enclave_sim.recording.outcome.residue import Residue
from enclave_sim.specification import EngineName
from enclave_sim.time_travel import Session

_LIMIT_NS = 100_000_000
"""A proof ends here."""
_CYCLES = 4
"""Limit of a proof's cycles."""
_SECONDS = 3
"""Limit of a proof's processor time: there are five."""
_PARTS = (*LETTERS, "writer")


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that shows a leak, as a student describes it."""

    payloads: list[str]
    cycles: int = 1
    tamper_ns: int | None = None


_USES = {
    "nmi_stack": "The stack of non-maskable interrupts is used if the tamper line is pulled while the enclave lives.",
    "guest_stack": "Only flat payloads use the guest's stack. Look for one that ends while something is on it.",
    "call_stack": "The call stack is used by host calls and by exceptions of ring 3. Which of them never return?",
    "kernel_stack": "The kernel is on its own stack whenever it works, so something is there in every run.",
    "arena": (
        "The kernel's record of the running guest is at the start of the arena: payload, cycle, size of its memory. "
        "For the first payload in the first cycle the first two are 0."
    ),
    "staging": "The staging area begins with the payload's own bytes. They are there in every run.",
    "heap": "Linear memory is at the end of the heap. Which payload uses its last bytes, and how does that one end?",
}
"""Hints for each region."""


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    uses = {f"use_{one.letter}": _USES[one.region] for one in variants(case)}
    return {"traced": _traced(case).file, "options": _options(case), **uses}


def inspected(case: Case, directory: Path) -> list[str]:
    """Return the run for whose residue the writer is asked."""
    return ["counter", *_options(case).split(), "--firmware", str(directory / _traced(case).file)]


def start(case: Case) -> dict[str, bytes]:
    """Return the starting point: the kernels, and empty answers."""
    tables = "\n".join(_EMPTY.replace("LETTER", letter) for letter in LETTERS)
    answers = f"# Your answers. Numbers may be written as 1000 or 0x3e8.\n{tables}\n[writer]\nby = ''\n# at_ns =\n"
    return {ANSWERS: answers.encode(), **{one.file: one.firmware.image for one in variants(case)}}


_EMPTY = """\
[LETTER]
region = ''
# first =
# last =
proof = { payloads = [] }
"""


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge the answers."""
    answers = Answers(files)
    if problem := answers.unreadable(_PARTS):
        return Judged(problem)
    checks, digests = {}, []
    for variant in variants(case):
        try:
            with piece(_SECONDS):
                residue, digest, proved = _proved(answers.get(variant.letter, "proof"), variant)
        except NoResult as error:
            residue, digest, proved = None, [], Check(False, f"{variant.letter}.proof: {error}")
        checks[variant.letter] = (*_found(answers, variant, residue), proved)
        digests += digest
    checks["writer"] = tuple(_writer(answers, case))
    return Judged(checks, tuple(digests))


def _found(answers: Answers, variant: Variant, residue: Residue | None) -> Iterator[Check]:
    letter, where = variant.letter, region(variant.region)
    given = answers.get(letter, "region")
    known = given in {one.name for one in regions()} if isinstance(given, str) else True
    otherwise = "Annihilation scrubs that one." if known else "The memory map has no such region."
    yield compare(f"{letter}.region", given, variant.region, {}, otherwise)
    first, last = variant.missing[0], variant.missing[-1]
    mistakes = {
        where.base: "There its scrub begins, as it should. It ends too early.",
        **({residue.ranges[0].base: _HAPPENS} if residue is not None and residue.ranges else {}),
    }
    yield compare(f"{letter}.first", answers.get(letter, "first"), first, mistakes, "The first byte is another one.")
    mistakes = {
        last + 1: "That is the first address after it.",
        where.end - 1: "So far its scrub does reach, as it should. It begins too late.",
        **({_end(residue) - 1: _HAPPENS} if residue is not None and residue.ranges else {}),
    }
    yield compare(f"{letter}.last", answers.get(letter, "last"), last, mistakes, "The last byte is another one.")


_HAPPENS = "That is where residue was found in your run. The kernel leaves more than what that run had put there."


def _end(residue: Residue) -> int:
    return residue.ranges[-1].base + len(residue.ranges[-1].data)


def _proved(given: Any, variant: Variant) -> tuple[Residue | None, list[str], Check]:
    """Run a proof; return the residue, the digests, and the check."""
    name = f"{variant.letter}.proof"
    if given is None or given == {"payloads": []}:
        return None, [], Check(False, f"{name}: not answered yet.")
    try:
        proof = msgspec.convert(given, Proof)
    except msgspec.ValidationError as error:
        return None, [], Check(False, f"{name}: {reason(error)}.")
    if problem := _problem(proof):
        return None, [], Check(False, f"{name}: {problem}")
    flat = proof.payloads[0] in built_in.flat_names()
    configuration = EnclaveConfiguration(
        cycles=proof.cycles,
        engine=EngineName.NATIVE if flat else EngineName.WASMTIME,
        firmware=variant.firmware,
    )
    inputs = [] if proof.tamper_ns is None else [Tamper(at_ns=proof.tamper_ns)]
    sources = [built_in.read_flat(proof.payloads[0])] if flat else [built_in.read(one) for one in proof.payloads]
    enclave = Enclave(sources, configuration=configuration, inputs=inputs, record=False)
    result = enclave.run(_LIMIT_NS)
    if not enclave.dormant:
        return None, [result.digest], Check(False, f"{name}: This run does not end within 100 ms of virtual time.")
    if not result.residue_bytes:
        return enclave.residue, [result.digest], Check(False, f"{name}: {_NOTHING}")
    return enclave.residue, [result.digest], RIGHT


_NOTHING = (
    "This run leaves no residue: nothing had been put there when annihilation began. "
    "What uses that region, and how must a run end so that it is still in use?"
)


def _problem(proof: Proof) -> str:
    names = [*built_in.names(), *built_in.flat_names()]
    unknown = [one for one in proof.payloads if one not in names]
    flat = [one for one in proof.payloads if one in built_in.flat_names()]
    if unknown:
        return "One of its payloads is not built in; enclave-sim payload list lists them."
    if not 1 <= len(proof.payloads) <= MAX_PAYLOADS or (flat and len(proof.payloads) > 1):
        return f"It has 1 to {MAX_PAYLOADS} payloads; a flat one runs alone."
    if not 1 <= proof.cycles <= _CYCLES:
        return f"It has 1 to {_CYCLES} cycles."
    if proof.tamper_ns is not None and not 0 <= proof.tamper_ns < _LIMIT_NS:
        return "tamper_ns is a virtual time of the run."
    return ""


def _traced(case: Case) -> Variant:
    return next(one for one in variants(case) if one.region == TRACED)


def _run(case: Case) -> dict[str, Any]:
    return {"cycles": case.number("cycles", 2, 4), "ns_per_instruction": case.number("speed", 2, 99)}


def _options(case: Case) -> str:
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in _run(case).items())


def _writer(answers: Answers, case: Case) -> Iterator[Check]:
    by, at_ns = answers.get("writer", "by"), answers.get("writer", "at_ns")
    if by is None and at_ns is None:
        yield Check(False, "writer: not answered yet.")
        return
    session = Session("counter", firmware=_traced(case).firmware, **_run(case))
    session.resume()
    ended_ns = session.now.at_ns
    first = session.enclave.residue.ranges[0].base
    write = session.last_write(first)
    assert write is not None
    name = re.split(r"[+ ]", write.by)[0]
    mistakes = {
        write.by: "The name of the function is enough.",
        write.by.split()[0]: "The name of the function is enough.",
        "fall_dormant": "It scrubs the rest of the stack, but not this byte.",
        "annihilate": "It called what wrote the byte. Whose store is it?",
    }
    yield compare("writer.by", by, name, mistakes, "Another function wrote that byte last.")
    too_late = {ended_ns: "Then the run ended. Go back from there to the last write."}
    yield compare("writer.at_ns", at_ns, write.position.at_ns, too_late, "It was not written last at this time.")
