"""Rules about data segments outside 64-bit mode: a program runs with flat, with null and with read-only ones.

An access through a null segment faults, so that the first instruction that makes one is known. If it stores, it must
fault with read-only segments, too; if it is undefined or needs a unit that is off, that comes before its operand.
"""

from collections.abc import Iterator
from dataclasses import replace

from machine.architecture.exceptions import GP, NM, UD
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import Change, Mode, Program, Result

STORES = "no store passes a read-only segment"
ORDERED = "what forbids an instruction precedes its operand"
RULES = frozenset([STORES, ORDERED])
_LOADS_OR_STORES_SEGMENT = (b"\x8c", b"\x8e", b"\x0f\xa0", b"\x0f\xa8", b"\x06", b"\x0e", b"\x16", b"\x1e")
"""MOV and PUSH from a segment register, and MOV to one: these depend on the selectors themselves."""
_STACK = range(layout.STACK, layout.STACK + 0x2000)


def broken(bench: Bench, program: Program) -> Iterator[tuple[str, str]]:
    """Yield the rules that a program breaks, and how. Programs that such rules do not fit break none."""
    selectors_matter = any(code in program.code for code in _LOADS_OR_STORES_SEGMENT)
    if program.mode is Mode.LONG or program.ring != 3 or program.peripherals or selectors_matter:
        return
    null = _run(bench, program, 0)
    if null.vector != GP or null.error_code:
        return
    flat = _run(bench, program, layout.USER_DATA)
    count = null.retired
    if flat.vector in (UD, NM) and flat.retired == count:
        yield ORDERED, f"vector {flat.vector} at {flat.registers['RIP']:#x}, with null segments {null.vector}"
    if flat.retired <= count:
        return
    before, after = (_run(bench, replace(program, limit=limit), layout.USER_DATA) for limit in (count, count + 1))
    if after.retired == count + 1 and before.registers["RSP"] in _STACK and _of_data(before) != _of_data(after):
        read_only = _run(bench, program, layout.READ_ONLY_DATA)
        if read_only.retired > count:
            yield STORES, f"after {count} instructions at {before.registers['RIP']:#x}"


def _run(bench: Bench, program: Program, selector: int) -> Result:
    return bench.run(replace(program, selector=selector), floating_point=False)


def _of_data(result: Result) -> list[Change]:
    """Only what is not on the stack, to which PUSH [mem] and CALL [mem] store what they read."""
    return [change for change in result.memory if change.page != "stack"]
