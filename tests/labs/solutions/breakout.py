"""The solution of lab `breakout`: encodings and predictions from the page and the manual, without any run."""

import re

from tests.labs.solutions.solution import Files, Solution, Workplace, answer, toml


def emit(place: Workplace) -> str:
    (line,) = re.findall(r"^    (bf .*)$", place.page, re.MULTILINE)
    return str(line)


def number(place: Workplace, pattern: str) -> int:
    (found,) = re.findall(pattern, place.page)
    return int(found, 16)


def little(value: int) -> str:
    return value.to_bytes(4, "little").hex(" ")


def kernel(place: Workplace) -> int:
    return number(place, r"Write to (0x[0-9a-f]+)")


def heap(place: Workplace) -> int:
    return number(place, r"Execute what is at (0x[0-9a-f]+)")


def vector(place: Workplace) -> int:
    return number(place, r"hardware: INT ([0-9A-F]+)h")


def privileged(place: Workplace) -> str:
    (name,) = re.findall(r"Execute (.*), which is for ring 0", place.page)
    (code,) = re.findall(rf"{re.escape(name)}\s+`([0-9a-f ]+)`", place.page)
    return str(code)


def solve(place: Workplace) -> Files:
    first = emit(place)
    attempts = {
        "write": (f"{first} 89 04 25 {little(kernel(place))}", 14, 7, kernel(place)),
        "execute": (f"{first} b8 {little(heap(place))} ff e0", 14, 0x15, heap(place)),
        "privilege": (f"{first} {privileged(place)}", 13, 0, None),
        "gate": (f"{first} cd {vector(place):02x}", 13, vector(place) * 8 + 2, None),
    }
    return {
        "answers.toml": toml(
            {
                part: {"code": code, "vector": raised, "error_code": error, **({"address": at} if at else {})}
                for part, (code, raised, error, at) in attempts.items()
            }
        )
    }


SOLUTION = Solution(
    solve,
    (
        answer("no token", "write.code", lambda place: f"89 04 25 {little(kernel(place))}", "does not emit your token"),
        answer(
            "a read", "write.code", lambda place: f"{emit(place)} 8b 04 25 {little(kernel(place))}", "It reads. Write"
        ),
        answer(
            "no jump", "execute.code", lambda place: f"{emit(place)} b8 03 00 00 00 cd 80", "No exception stopped it"
        ),
        answer("spaces of another kind", "gate.code", lambda _: "cd\u00a080", "not machine code in hexadecimal"),
        answer("not code", "execute.code", lambda _: "jmp rax", "not machine code in hexadecimal"),
        answer("a fetch taken for a read", "execute.error_code", lambda _: 5, "Bit 4 says whether an instruction"),
        answer("undefined opcode", "privilege.vector", lambda _: 6, "This one exists"),
        answer("the vector called", "gate.vector", vector, "not for ring 3. Which exception"),
        answer("no IDT bit", "gate.error_code", lambda place: vector(place) * 8, "one of the IDT"),
        answer("another page", "write.address", lambda _: 0x40000C, "CR2 has"),
        answer("another vector", "gate.code", lambda place: f"{emit(place)} cd 30", "another vector than yours"),
        answer("too long", "privilege.code", lambda _: "90 " * 300, "longer than 256 bytes"),
        answer("a loop", "privilege.code", lambda place: f"{emit(place)} eb fe", "No exception stopped it"),
    ),
)
