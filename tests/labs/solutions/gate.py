"""The solution of lab `gate`: a changed kernel, built from the sources that `firmware new` copies."""

import re
from functools import cache
from pathlib import Path

import firmware
from tests.enclave_sim.cli.command import command
from tests.labs.solutions.solution import Files, Solution, Workplace, Wrong

HANDLER = """
        .globl  twist
        .text
        .code64
twist:  xorl    $MASK, %eax
        iretq
"""
GATE = """
    extern const char twist[];
    u64 twisting = (u64)twist;
    idt[VECTOR].low = twisting;
    idt[VECTOR].attributes = GATE_PRESENT_INTERRUPT | GATE_USER;
    idt[VECTOR].middle = twisting >> 16;
    idt[VECTOR].high = twisting >> 32;
"""
LOAD = '    __asm__ volatile("lidt'


def asked(place: Workplace) -> tuple[int, int]:
    """Return the vector and the mask."""
    ((vector, mask),) = re.findall(r"INT ([0-9A-F]+)h in ring 3.*EAX XOR (0x[0-9a-f]+)\.", place.page, re.DOTALL)
    return int(vector, 16), int(mask, 16)


def built(place: Workplace, handler: str = HANDLER, gate: str = GATE) -> Files:
    vector, mask = asked(place)
    return {
        "aether.elf": _built(place.directory, handler.replace("MASK", hex(mask)), gate.replace("VECTOR", hex(vector)))
    }


@cache
def _built(directory: Path, handler: str, gate: str) -> bytes:
    mine = directory / "mine"
    if not mine.exists():
        assert command("firmware", "new", mine).code == 0
    for name, old, new in (("interrupts.S", None, handler), ("prot_entry.c", LOAD, f"{gate}{LOAD}")):
        text = (firmware.built_in().path.parent / "src" / name).read_text()
        (mine / "src" / name).write_text(text + new if old is None else text.replace(old, new, 1))
    done = command("firmware", "build", mine)
    assert done.code == 0, done.error
    return (mine / "aether.elf").read_bytes()


def unchanged(_files: Files, _place: Workplace) -> Files:
    return {"aether.elf": firmware.built_in().image}


SOLUTION = Solution(
    built,
    (
        Wrong("the built-in kernel", unchanged, "#GP names the gate"),
        Wrong("no image", lambda _files, _place: {"aether.elf": b"\x7fELF"}, "is not a kernel for this program"),
        Wrong("OR", lambda _files, place: built(place, HANDLER.replace("xorl", "orl")), "That is not XOR"),
        Wrong(
            "RET",
            lambda _files, place: built(place, HANDLER.replace("iretq", "retq")),
            "It does not return to the guest",
        ),
        Wrong(
            "a register lost",
            lambda _files, place: built(place, HANDLER.replace("iretq", "movl $1, %ebx\n iretq")),
            "After the call RBX is not as before",
        ),
        Wrong(
            "two gates",
            lambda _files, place: built(place, gate=GATE + "    idt[VECTOR + 1] = idt[VECTOR];\n"),
            "Another gate than yours is open",
        ),
    ),
)
