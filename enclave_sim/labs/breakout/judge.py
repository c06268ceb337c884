"""The judge of lab `breakout`: it runs each attempt in ring 3, and compares the exception with task and prediction."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.labs.answers import Answers
from enclave_sim.labs.bounded import Bounds, NoResult, piece
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import RIGHT, Check, compare
from enclave_sim.labs.lab import ANSWERS, Judged
from enclave_sim.specification import Attestation, EngineName
from firmware import layout
from machine.events import InterruptRaised

_START = b"""\
# Machine code in hexadecimal, as "fa 90", and what you predict. Numbers may be written as 13 or 0xd.
[write]
code = ""
# vector =
# error_code =
# address =

[execute]
code = ""
# vector =
# error_code =
# address =

[privilege]
code = ""
# vector =
# error_code =

[gate]
code = ""
# vector =
# error_code =
"""
_PARTS = ("write", "execute", "privilege", "gate")
_PRIVILEGED = {
    "CLI": "fa",
    "HLT": "f4",
    "MOV CR3, RAX": "0f22d8",
    "LGDT [RSP]": "0f011424",
    "WRMSR": "0f30",
    "INVD": "0f08",
    "IN AL, 60h": "e460",
    "LTR AX": "0f00d8",
}
_CODE = layout()["STAGING_BASE"]
_GENERAL_PROTECTION, _PAGE_FAULT = 13, 14
_PRESENT, _WRITE, _USER, _FETCH = 1, 2, 4, 16
_IN_IDT = 2
_LONGEST = 256
_LIMIT_NS, _GUEST_NS = 2_000_000, 20_000
"""Limits of virtual time, of a run and of an attempt in it, in which a thousand instructions are many."""
_SECONDS = 4
"""Limit of processor time of an attempt: there are four."""
_PAIR = re.compile(r"[0-9a-fA-F]{2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}\s*)+", re.ASCII)


@dataclass(frozen=True)
class Targets:
    """Targets of one student's attempts."""

    token: int
    kernel: int
    """An address of the kernel, to write."""
    heap: int
    """An address of the heap, to execute."""
    instruction: str
    vector: int

    @classmethod
    def of(cls, case: Case) -> "Targets":
        """Return the targets of a case."""
        base = layout()[case.choose("region", ("TEXT_BASE", "DATA_BASE", "KERNEL_STACK_BASE"))]
        return cls(
            case.number("token", 0x1_0000, 0x7FFF_FFFF),
            base + case.number("kernel", 0, 0x3FF) * 4,
            layout()["HEAP_BASE"] + case.number("heap", 0x100, 0xFFFF) * 16,
            case.choose("instruction", tuple(_PRIVILEGED)),
            case.choose("vector", (0x20, 0x21, 0x22, 2, 8, 18)),
        )


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    mine = Targets.of(case)
    return {
        "token": hex(mine.token),
        "emit": f"bf {mine.token.to_bytes(4, 'little').hex(' ')} b8 01 00 00 00 cd 80",
        "kernel": hex(mine.kernel),
        "heap": hex(mine.heap),
        "instruction": mine.instruction,
        "vector": f"{mine.vector:X}h",
    }


def start(_case: Case) -> dict[str, bytes]:
    """Return the starting point."""
    return {ANSWERS: _START}


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge the attempts."""
    answers = Answers(files)
    if problem := answers.unreadable(_PARTS):
        return Judged(problem)
    mine = Targets.of(case)
    checks: dict[str, tuple[Check, ...]] = {}
    digests: list[str] = []
    tasks: dict[str, Callable[[bytes, InterruptRaised], str]] = {
        "write": lambda _code, raised: _wrote(mine, raised),
        "execute": lambda _code, raised: _executed(mine, raised),
        "privilege": lambda code, raised: _privileged(mine, code, raised),
        "gate": lambda code, raised: _called(mine, code, raised),
    }
    for part, task in tasks.items():
        try:
            with piece(_SECONDS):
                raised, digest, problem_of_part = _attempt(answers.get(part, "code"), mine, task)
        except NoResult as error:
            raised, digest, problem_of_part = None, [], str(error)
        digests += digest
        if raised is None or problem_of_part:
            checks[part] = (Check(False, f"{part}: {problem_of_part}"),)
        else:
            checks[part] = (RIGHT, *_predicted(answers, part, mine, raised))
    return Judged(checks, tuple(digests))


def _attempt(
    given: object, mine: Targets, task: Callable[[bytes, InterruptRaised], str]
) -> tuple[InterruptRaised | None, list[str], str]:
    """Run an attempt; return the exception that stopped it, the digest of the run, and the problem, if there is one."""
    if given is None:
        return None, [], "not answered yet."
    if not isinstance(given, str) or not _HEX.fullmatch(given.strip()):
        return None, [], "The code is not machine code in hexadecimal."
    code = bytes.fromhex("".join(_PAIR.findall(given)))
    if len(code) > _LONGEST:
        return None, [], f"The code is longer than {_LONGEST} bytes."
    bounds = Bounds(_GUEST_NS)
    enclave = Enclave(code, engine=EngineName.NATIVE, attestation=Attestation.OFF, recorder=bounds)
    result = bounds.run(enclave, _LIMIT_NS)
    assert enclave.recording is not None
    if list(result.signals) != [mine.token]:
        return None, [result.digest], "It does not emit your token once, before it tries."
    faults = [one for one in enclave.recording.of_kind(InterruptRaised) if one.source == "exception" and one.ring == 3]
    if not faults:
        return None, [result.digest], f"No exception stopped it: the run ended as {result.outcome}."
    return faults[0], [result.digest], task(code, faults[0])


def _wrote(mine: Targets, raised: InterruptRaised) -> str:
    if raised.vector != _PAGE_FAULT:
        return f"Exception {raised.vector} stopped it before it could write."
    if raised.address != mine.kernel:
        return "It touches another address than yours."
    return "" if _bits(raised) & _WRITE else "It reads. Write to the address."


def _executed(mine: Targets, raised: InterruptRaised) -> str:
    if raised.vector != _PAGE_FAULT:
        return f"Exception {raised.vector} stopped it, and not the page's right."
    if not _bits(raised) & _FETCH:
        return "It reads or writes. Jump to the address."
    return "" if raised.address == mine.heap else "It jumps to another address than yours."


def _privileged(mine: Targets, code: bytes, raised: InterruptRaised) -> str:
    found = code[raised.rip - _CODE :] if raised.rip >= _CODE else b""
    if not found.startswith(bytes.fromhex(_PRIVILEGED[mine.instruction])):
        return f"Exception {raised.vector} stopped another instruction than {mine.instruction}."
    return _refused(mine.instruction, raised)


def _called(mine: Targets, code: bytes, raised: InterruptRaised) -> str:
    found = code[raised.rip - _CODE :] if raised.rip >= _CODE else b""
    if not found.startswith(bytes([0xCD])):
        return f"Exception {raised.vector} stopped an instruction that is not INT."
    if found[1:2] != bytes([mine.vector]):
        return "It calls another vector than yours."
    return _refused("INT", raised)


def _refused(instruction: str, raised: InterruptRaised) -> str:
    """Return a problem if the instruction was not executed: a trap of the one before it names its address, too."""
    if raised.vector == _GENERAL_PROTECTION:
        return ""
    return f"Exception {raised.vector} stopped it before it executed {instruction}."


def _predicted(answers: Answers, part: str, mine: Targets, raised: InterruptRaised) -> Iterator[Check]:
    mistakes = {
        mine.vector: "The gate of that vector is not for ring 3. Which exception says so?",
        6: "#UD is for instructions that do not exist. This one exists.",
        _PAGE_FAULT: "No page is touched without the right to.",
        _GENERAL_PROTECTION: "The segment allows it. The page does not.",
    }
    given = answers.get(part, "vector")
    yield compare(f"{part}.vector", given, raised.vector, mistakes, "Another exception is raised.")
    right = _bits(raised)
    if raised.vector == _PAGE_FAULT:
        mistakes = {
            right ^ _PRESENT: "Bit 0 says whether the page is present. It is: for ring 0, or to read and write.",
            right ^ _WRITE: "Bit 1 says whether it was a write.",
            right ^ _USER: "Bit 2 says whether it was in ring 3.",
            right ^ _FETCH: "Bit 4 says whether an instruction was fetched.",
        }
    else:
        mistakes = {
            mine.vector: "The vector is in bits 3 and up.",
            mine.vector * 8: "Bit 1 says that the index is one of the IDT.",
            mine.vector * 8 + 3: "Bit 0 is for events from outside the program. An INT is not one.",
            0: "For a gate that may not be used, the error code names the gate.",
        }
    given = answers.get(part, "error_code")
    yield compare(f"{part}.error_code", given, right, mistakes, "Another error code is pushed.")
    if raised.vector == _PAGE_FAULT:
        mistakes = {raised.rip: "That is the instruction. CR2 has the address that it touched."}
        given = answers.get(part, "address")
        yield compare(f"{part}.address", given, raised.address, mistakes, "CR2 has another address.")


def _bits(raised: InterruptRaised) -> int:
    return raised.error_code or 0
