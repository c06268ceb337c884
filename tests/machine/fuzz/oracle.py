"""Rules for every program, whatever it does.

In ring 3: the state of ring 0 is unchanged, ring 0 is reached only through gates and from ring 3, and an interrupt
makes no difference; not with peripherals, by which ring 3 may change anything. Outside 64-bit mode: the rules about
segments of segments.py, and PAE paging keeps the pointers that it has loaded. In all rings: the native and the portable
instruction hook agree, stepping, translating, stopping after each instruction, observing code, counting by block or
going on elsewhere from a snapshot makes no difference, and the emulator keeps its own rules.
"""

import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace

from machine.architecture.decoding import decode
from machine.architecture.exceptions import GP, NM, UD
from machine.architecture.paging import is_canonical
from machine.architecture.processor_state import ARITHMETIC_FLAGS
from tests.machine.fuzz import segments
from tests.machine.fuzz.behaviour import opcode
from tests.machine.fuzz.case import Case
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import Change, End, Mode, Program, Result

_SYSTEM = (
    *("CR0", "CR3", "CR4", "EFER", "GDTR", "GDTR_LIMIT", "IDTR", "IDTR_LIMIT", "LDTR", "TR", "KERNEL_GS_BASE"),
    *("DR0", "DR1", "DR2", "DR3", "DR7"),
)
_TASK_SWITCHED = frozenset(["CR0", "TR", "DR7"])
"""Changes by a task switch (SDM volume 3, 8.3): TS, TR, and the local breakpoints."""
BY_BLOCK = "counting by block makes no difference"
FETCHED = "an instruction faults after it is fetched whole"
INTERRUPT = "an interrupt is not noticed"
KEPT = "PAE paging keeps its pointers"
LIMITED = "a run ends before the fetch of the next instruction"
STOPS_BY_BLOCK = "stops while counting by block make no difference"
_OTHER_FAULTS = (UD, NM, GP)
_CODE = {
    layout.USER_CODE_64: True,
    layout.KERNEL_CODE_64: True,
    layout.USER_CODE_32: False,
    layout.KERNEL_CODE_32: False,
}
"""Code selectors: True for 64-bit code."""
_READS_TIME = (b"\x0f\x31", b"\x0f\x01\xf9")
"""RDTSC and RDTSCP."""
_STORES_SELECTOR = (b"\x8c", b"\x0f\xa0", b"\x0f\xa8", b"\x06", b"\x0e", b"\x16", b"\x1e")
"""MOV and PUSH from a segment register: a null selector in one loses its RPL by a return from ring 0."""
_COMPARISONS = frozenset(["a6", "a7", "ae", "af"])
"""CMPS and SCAS."""
_OF_RING_3 = frozenset(page.name for page in layout.PAGES if page.user and page.writable)
_ACCESSED_BIT = Change("kernel", (layout.FRESH_DATA & ~7) + 5, b"\xf3")
"""A descriptor is marked when it is first loaded."""

_DEBUG, _GATE_ENTRY = 1, layout.HANDLERS + layout.CALL_GATE_VECTOR * layout.HANDLER_SIZE
"""A call gate leaves TF set, so the single-step trap after the CALL comes at its entry (SDM volume 3, 18.3.1.4)."""
_ROUND_TRIP = layout.HANDLERS + layout.ROUND_TRIP_VECTOR * layout.HANDLER_SIZE
"""A handler in ring 0 that returns at once; the limit may come there."""


@dataclass(frozen=True)
class Finding:
    """A broken rule."""

    rule: str
    what: str


class Oracle:
    """All benches, and the end state of an empty program.

    Args:
        rules: The rules of other benches to compare by; None for all.
    """

    def __init__(self, rules: Collection[str] | None = None) -> None:
        self._native = Bench()
        others = {
            "native and portable hook agree": Bench(portable=True),
            "stepping makes no difference": Bench(stepping=True),
            "stops make no difference": Bench(piecewise=1),
            "an observer makes no difference": Bench(observed=True),
            BY_BLOCK: Bench(by_block=True),
            STOPS_BY_BLOCK: Bench(by_block=True, piecewise=5),
            "a snapshot makes no difference": Bench(piecewise=6, moving=True),
        }
        self._others = {rule: bench for rule, bench in others.items() if rules is None or rule in rules}
        self._without_pointers = Bench(without_pointers=True)
        self._segments = rules is None or not segments.RULES.isdisjoint(rules)
        self._idle: dict[Program, Result] = {}

    def judge(self, case: Case, *, twice: bool = True) -> tuple[Result | None, tuple[Finding, ...]]:
        """Run a case. Returns its end state, unless the emulator failed, and every broken rule.

        Without `twice` the other benches and the interrupt are left out, which takes a sixth of the time.
        """
        program = case.program
        try:
            result = self._native.run(program, floating_point=False)
            own_frame = program.mode is Mode.PROTECTED and program.ring == 0  # which may lie upon the code
            found = [] if own_frame else list(self._of_fetch(result))
            if program.ring == 3 and not program.peripherals:
                found += self._of_ring_3(program, result)
            if twice:
                for rule, bench in self._others.items():
                    other = bench.run(program, floating_point=False)
                    if other != result:
                        found.append(Finding(rule, difference(result, other)))
                found += self._of_interrupt(program, result)
                found += self._of_pointers(program, result)
                if self._segments:
                    found += [Finding(rule, what) for rule, what in segments.broken(self._native, program)]
        except Exception as error:  # noqa: BLE001 - whatever it is, a program must not get the emulator to raise it
            where = traceback.extract_tb(error.__traceback__)[-1]
            return None, (Finding(f"the emulator raises no {type(error).__name__}", f"{error} ({where.name})"),)
        return result, tuple(found)

    def _of_ring_3(self, program: Program, result: Result) -> Iterator[Finding]:
        idle = self._idle_result(program)
        yield from _starts_as_asked(program, idle)
        registers = result.registers
        switched = program.mode is Mode.PROTECTED and registers["TR"] == layout.AVAILABLE_TASK
        for name in _SYSTEM:
            if registers[name] != idle.registers[name] and not (switched and name in _TASK_SWITCHED):
                yield Finding(
                    "system registers are ring 0's", f"{name} {idle.registers[name]:#x}, {registers[name]:#x}"
                )
        for change in result.memory:
            known = change == _ACCESSED_BIT or (switched and change.page == "kernel")
            if change.page not in _OF_RING_3 and not known:
                yield Finding("memory is ring 0's", f"{change.page} + {change.offset:#x}: {change.data.hex()}")
        trapped = result.vector == _DEBUG and registers["RIP"] == _GATE_ENTRY
        if result.end in (End.DONE, End.TAKEN) and not (switched or trapped) and registers["CS"] & 3 != 3:
            yield Finding("ring 0 is reached through gates only", f"CS {registers['CS']:#x} when it ended")
        out_of_time = result.end is End.LIMIT and registers["CPL"] != 3 and registers["RIP"] != _ROUND_TRIP
        if result.end in (End.HALTED, End.SHUTDOWN) or out_of_time:
            yield Finding("ring 0 is reached through gates only", f"{result.end.value} in ring {registers['CPL']}")

    def _of_fetch(self, result: Result) -> Iterator[Finding]:
        """No executable page follows another one: there, the fetch of an instruction that goes on faults."""
        rip, long = result.registers["RIP"], _CODE.get(result.registers["CS"])
        if result.vector not in _OTHER_FAULTS or not self._native.raised_exception or long is None:
            return
        code = self._native.code_to_page_end(rip)
        if result.vector == GP and not is_canonical(rip + len(code)):
            return
        if code and decode(code, long) is None:
            yield Finding(FETCHED, f"vector {result.vector} at {rip:#x}, code {code.hex()}")

    def _idle_result(self, program: Program) -> Result:
        """The end state of the same state without code."""
        key = replace(program, code=b"", data=b"", stack=b"", registers=Program(b"").registers, rflags=0x202, limit=50)
        key = replace(key, fx=Program(b"").fx)
        if key not in self._idle:
            if len(self._idle) > 1000:
                self._idle.clear()
            self._idle[key] = self._native.run(key, floating_point=False)
        return self._idle[key]

    def _of_pointers(self, program: Program, result: Result) -> Iterator[Finding]:
        """Ring 3 cannot make the processor load them: a switch to a task with the same CR3 does not."""
        if program.mode is Mode.PROTECTED and program.ring == 3 and not program.peripherals:
            other = self._without_pointers.run(program, floating_point=False)
            if other != result:
                yield Finding(KEPT, difference(result, other))

    def _of_interrupt(self, program: Program, result: Result) -> Iterator[Finding]:
        """Interrupts half-way and at the end: a program that reads no time stamp counter cannot notice them."""
        if (
            program.ring != 3
            or program.peripherals
            or result.end is End.LIMIT
            or any(code in program.code for code in _READS_TIME)
        ):
            return
        before = _returned(result)
        comparing = _faults_in_comparison(program, result)
        if comparing:
            before = _without_arithmetic_flags(before)
        end = result.retired - (result.vector is None or result.vector >= layout.CALL_GATE_VECTOR)
        for count in sorted({result.retired // 2, end}):
            interrupted = self._native.run(replace(program, interrupt_at=count), floating_point=False)
            if not self._native.interrupt_requested:
                yield Finding(LIMITED, f"not at {count} of {end} instructions")
                return
            same = replace(_returned(interrupted), retired=result.retired)
            if comparing:
                same = _without_arithmetic_flags(same)
            if same != before and not any(code in program.code for code in _STORES_SELECTOR):
                yield Finding(INTERRUPT, difference(before, same))
                return


def _returned(result: Result) -> Result:
    """A result with null selectors as after a return from ring 0: zero, whatever their RPL was."""
    null = {name: 0 for name in ("DS", "ES", "FS", "GS") if result.registers[name] < 4}
    return replace(result, registers=result.registers | null)


def _faults_in_comparison(program: Program, result: Result) -> bool:
    """Whether it ends by a fault of CMPS or SCAS.

    With REPE or REPNE a fault takes the flags back to before the instruction (SDM volume 2, REP), and an interrupt
    between two iterations makes a later beginning of it.
    """
    at = result.registers["RIP"] - layout.CODE
    code = program.code[at:] if 0 <= at < len(program.code) else b""
    return result.vector is not None and opcode(code, long=program.mode is Mode.LONG) in _COMPARISONS


def _without_arithmetic_flags(result: Result) -> Result:
    return replace(result, registers=result.registers | {"RFLAGS": result.registers["RFLAGS"] & ~ARITHMETIC_FLAGS})


def difference(one: Result, other: Result) -> str:
    """The first few differences."""
    found = []
    for field in fields(Result):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if field.name == "registers":
            found += [f"{name} {first[name]:#x}, {second[name]:#x}" for name in first if first[name] != second[name]]
        elif first != second:
            found.append(f"{field.name} {first}, {second}")
    return "; ".join(found[:6])


def _starts_as_asked(program: Program, result: Result) -> Iterator[Finding]:
    """A program in 64-bit mode starts with the segment bases set by ring 0."""
    if program.mode is Mode.LONG:
        for name, wanted in (("FS_BASE", program.fs_base), ("GS_BASE", program.gs_base)):
            if result.registers[name] != wanted:
                yield Finding(
                    "a return into ring 3 keeps segment bases", f"{name} {wanted:#x}, {result.registers[name]:#x}"
                )
