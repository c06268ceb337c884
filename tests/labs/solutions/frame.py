"""The solution of lab `frame`, calculated from the listing on the page and the manual, without any run."""

import re

from enclave_sim.memory_map import region
from tests.labs.solutions.solution import Files, Solution, Workplace, answer, toml

CS, SS = 0x23, 0x1B
CALL_STACK_END = region("call_stack").end
MAPPED = [region(name) for name in ("text", "data", "arena", "kernel_stack")]
"""Regions of ring 0 in docs/memory-map.md in which a guest may touch something."""
INTERRUPTS = 0x200


def listing(place: Workplace) -> list[tuple[int, int, str]]:
    """Address, length and text of each instruction."""
    lines = re.findall(r"^    (0x[0-9a-f]+):  ((?:[0-9a-f]{2} )+) *(.*)$", place.page, re.MULTILINE)
    return [(int(address, 16), len(code.split()), text) for address, code, text in lines]


def at(place: Workplace, start: str) -> tuple[int, int, str]:
    return next(one for one in listing(place) if one[2].startswith(start))


def stack(place: Workplace) -> int:
    (top,) = re.findall(r"with RSP = (0x[0-9a-f]+)", place.page)
    return int(top, 16)


def rsp(place: Workplace) -> int:
    return stack(place) - 8 * pushes(place) - room(place)


def pushes(place: Workplace) -> int:
    return sum(text.startswith("push ") for _, _, text in listing(place))


def room(place: Workplace) -> int:
    return int(at(place, "lea ")[2].split(" - ")[1].rstrip("]"), 16)


def rip(place: Workplace) -> int:
    address, length, _ = at(place, "int")
    return address + length


def mask(place: Workplace) -> int:
    return int(at(place, "or ")[2].split(", ")[1], 16)


def rflags(place: Workplace) -> int:
    return mask(place) & ~0x3000 | 0x2 | INTERRUPTS


def words(place: Workplace) -> list[int]:
    return [rip(place), CS, rflags(place), rsp(place), SS]


def solve(place: Workplace) -> Files:
    address, _, text = listing(place)[-1]
    (target,) = (int(one, 16) for one in re.findall(r"\[(0x[0-9a-f]+)\]", text))
    present = any(one.base <= target < one.end for one in MAPPED)
    return {
        "answers.toml": toml(
            {
                "return": {"rip": rip(place), "rsp": rsp(place)},
                "state": {"cs": CS, "ss": SS, "rflags": rflags(place)},
                "entry": {"rsp": CALL_STACK_END - 40, "words": words(place)},
                "fault": {
                    "rip": address,
                    "cr2": target,
                    "error_code": 4 + 2 * text.startswith("mov     dword") + present,
                },
            }
        )
    }


SOLUTION = Solution(
    solve,
    (
        answer("INT taken for a fault", "return.rip", lambda place: at(place, "int")[0], "is no fault: it returns to"),
        answer("pushes forgotten", "return.rsp", stack, "has pushed something since"),
        answer(
            "pushes of one byte",
            "return.rsp",
            lambda place: stack(place) - pushes(place) - room(place),
            "A push takes eight bytes",
        ),
        answer("LEA forgotten", "return.rsp", lambda place: rsp(place) + room(place), "LEA has moved RSP"),
        answer("ring forgotten", "state.cs", lambda _: CS & ~3, "Its two low bits are the ring"),
        answer("IOPL changed", "state.rflags", lambda place: rflags(place) | 0x3000, "POPF in ring 3"),
        answer(
            "IF cleared too early", "state.rflags", lambda place: rflags(place) & ~INTERRUPTS, "clears IF, but only"
        ),
        answer("RSP0 without the frame", "entry.rsp", lambda _: CALL_STACK_END, "That is RSP0 of the TSS"),
        answer("32-bit frame", "entry.rsp", lambda _: CALL_STACK_END - 24, "SS and RSP are pushed, too"),
        answer("order of pushing", "entry.words", lambda place: words(place)[::-1], "in the order of pushing"),
        answer(
            "fault taken for a trap",
            "fault.rip",
            lambda place: listing(place)[-1][0] + listing(place)[-1][1],
            "so that it can be repeated",
        ),
    ),
)
