"""The solution of lab `leak`: record runs with each kernel, and compare what is scrubbed with the memory map."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from enclave_sim.enclave.kernel.firmware_file import read_firmware
from enclave_sim.memory_map import regions
from enclave_sim.time_travel import Session
from tests.enclave_sim.cli.command import command
from tests.labs.solutions.solution import Files, Solution, Workplace, answer, toml

LETTERS = "abcde"
PROOFS: dict[str, dict[str, Any]] = {
    "nmi_stack": {"payloads": ["counter"], "tamper_ns": 1_000_000},
    "guest_stack": {"payloads": ["quitter"]},
    "call_stack": {"payloads": ["shredder"]},
    "kernel_stack": {"payloads": ["counter"]},
    "arena": {"payloads": ["counter", "shredder"], "cycles": 2},
    "staging": {"payloads": ["counter"]},
    "heap": {"payloads": ["trespasser"]},
}


def solve(place: Workplace) -> Files:
    for letter in LETTERS:
        (place.directory / f"{letter}.elf").write_bytes(place.start[f"{letter}.elf"])
    answers: dict[str, Any] = {}
    for letter in LETTERS:
        name, first, last = gap(place.directory / f"{letter}.elf")
        answers[letter] = {"region": name, "first": first, "last": last, "proof": PROOFS[name]}
    by, at_ns = writer(place)
    return {"answers.toml": toml({**answers, "writer": {"by": by, "at_ns": at_ns}})}


def gap(image: Path) -> tuple[str, int, int]:
    """Compare the scrubs of annihilation with the memory map."""
    record = image.with_suffix(".jsonl")
    command("run", "shredder", "--quiet", "--firmware", image, "--record", record)
    events = map(json.loads, record.read_text().splitlines())
    for one in events:
        if one["kind"] == "scrubbed" and one["cause"] == "annihilation":
            (where,) = (each for each in regions() if each.base <= one["base"] < each.end)
            end = one["base"] + one["size"]
            if one["base"] != where.base:
                return where.name, where.base, one["base"] - 1
            if end != where.end and where.name != "data":
                return where.name, end, where.end - 1
    raise AssertionError(f"{image} scrubs everything")


def writer(place: Workplace) -> tuple[str, int]:
    (found,) = re.findall(
        r"run counter --cycles (\d+) --ns-per-instruction (\d+) --firmware lab-leak/(\w\.elf)", place.page
    )
    return _writer(place.directory / found[2], int(found[0]), int(found[1]))


@cache
def _writer(image: Path, cycles: int, speed: int) -> tuple[str, int]:
    session = Session("counter", firmware=read_firmware(image), cycles=cycles, ns_per_instruction=speed)
    session.resume()
    write = session.last_write(session.enclave.residue.ranges[0].base)
    assert write is not None
    return write.by.split("+")[0].split()[0], write.position.at_ns


def answers_of(place: Workplace, letter: str) -> tuple[str, int, int]:
    return gap(place.directory / f"{letter}.elf")


SOLUTION = Solution(
    solve,
    (
        answer("a region that is scrubbed", "a.region", lambda _: "irq_stack", "Annihilation scrubs that one"),
        answer("no region", "b.region", lambda _: "stack", "The memory map has no such region"),
        answer("an end that is not included", "a.last", lambda place: answers_of(place, "a")[2] + 1, "after it"),
        answer("a run that shows nothing", "b.proof", lambda _: {"payloads": ["divider"]}, "leaves no residue"),
        answer("a run without an end", "c.proof", lambda _: {"payloads": ["spinner"], "cycles": 4}, "does not end"),
        answer("a payload of one's own", "d.proof", lambda _: {"payloads": ["mine"]}, "is not built in"),
        answer("the caller", "writer.by", lambda _: "annihilate", "It called what wrote the byte"),
        answer("too many cycles", "e.proof", lambda _: {"payloads": ["counter"], "cycles": 10**9}, "1 to 4 cycles"),
    ),
)
