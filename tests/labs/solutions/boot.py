"""The solution of lab `boot`: run the command of the page, and read the events."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.enclave_sim.cli.command import command
from tests.labs.solutions.solution import Files, Solution, Workplace, answer, toml

_Event = dict[str, Any]


def solve(place: Workplace) -> Files:
    return {
        "answers.toml": toml(
            {
                "modes": {"order": [one["mode"] for one in of(place, "mode_switched")], "long_at_ns": long_mode(place)},
                "phases": {one["phase"]: one["at_ns"] for one in of(place, "phase_completed")},
                "rings": {
                    "entries": sum(one["to_ring"] == 3 for one in of(place, "ring_transition")),
                    "by_timer": returns(place, "external_interrupt"),
                },
                "sleep": {"deadline_ns": of(place, "wake_scheduled")[-1]["deadline_ns"], "slept_ns": slept(place)},
            }
        )
    }


def of(place: Workplace, kind: str) -> list[_Event]:
    (line,) = re.findall(r"enclave-sim (run .*) --record run.jsonl", place.page)
    return [one for one in _events(line, place.directory) if one["kind"] == kind]


@cache
def _events(line: str, directory: Path) -> tuple[_Event, ...]:
    assert command(*line.split(), "--quiet", "--record", directory / "run.jsonl").code == 0
    return tuple(map(json.loads, (directory / "run.jsonl").read_text().splitlines()))


def long_mode(place: Workplace) -> int:
    return next(int(one["at_ns"]) for one in of(place, "mode_switched") if one["mode"] == "long")


def returns(place: Workplace, cause: str) -> int:
    return sum(one["to_ring"] == 0 and one["cause"] == cause for one in of(place, "ring_transition"))


def slept(place: Workplace) -> int:
    halted = last_sleep(place)
    return next(_after(place, halted["seq"])) - int(halted["at_ns"])


def last_sleep(place: Workplace) -> _Event:
    return [one for one in of(place, "halted") if one["interruptible"]][-1]


def _after(place: Workplace, seq: int) -> Iterator[int]:
    return (int(one["at_ns"]) for one in of(place, "interrupt_raised") if one["seq"] > seq)


SOLUTION = Solution(
    solve,
    (
        answer("long mode without its submode", "modes.order", lambda _: ["protected", "long"], "One mode is missing"),
        answer(
            "EFER.LMA taken for 64-bit code",
            "modes.long_at_ns",
            lambda place: of(place, "mode_switched")[1]["at_ns"],
            "in its 32-bit submode",
        ),
        answer(
            "entered taken for reached",
            "phases.MEM_MAP",
            lambda place: of(place, "phase_entered")[1]["at_ns"],
            "was entered; nothing was checked",
        ),
        answer(
            "one phase taken for the next",
            "phases.WASM_INIT",
            lambda place: of(place, "phase_completed")[1]["at_ns"],
            "There MEM_MAP reached its target state",
        ),
        answer("both directions", "rings.entries", lambda place: len(of(place, "ring_transition")), "both directions"),
        answer(
            "host calls taken for the timer",
            "rings.by_timer",
            lambda place: returns(place, "software_interrupt"),
            "came back by a software interrupt",
        ),
        answer(
            "sleeping from arming",
            "sleep.slept_ns",
            lambda place: int(place.page.split("--wake-ns ")[1].split()[0]),
            "some instructions came before the HLT",
        ),
        answer(
            "sleeping until woken",
            "sleep.slept_ns",
            lambda place: of(place, "woken")[-1]["at_ns"] - last_sleep(place)["at_ns"],
            "ends with the event woken",
        ),
        answer(
            "when it was woken",
            "sleep.deadline_ns",
            lambda place: of(place, "woken")[-1]["at_ns"],
            "The timer had fired before",
        ),
        answer(
            "the event's time and the option",
            "sleep.deadline_ns",
            lambda place: of(place, "wake_scheduled")[-1]["at_ns"] + int(place.page.split("--wake-ns ")[1].split()[0]),
            "some instructions after the timer was armed",
        ),
        answer("a time with a unit", "sleep.deadline_ns", lambda _: "1ms", "expected a whole number, found a text"),
    ),
)
