"""One program on the host's own processor and on our machine, with their final states in one format."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from machine.bus.ram import PAGE_SIZE
from tests.machine.programs import layout
from tests.machine.programs.program import GENERAL, End, Mode, Program, Result
from tests.oracle.enumeration.operands import data_pages, stack_pages
from tests.oracle.host_processor import records
from tests.oracle.host_processor.records import EXECUTE, READ, WRITE, Region, Start
from tests.oracle.random_programs.program import fx_fields

_CODE = b"\xcc" * PAGE_SIZE
_ENDS = layout.END * (PAGE_SIZE // 2)
REGIONS = (
    Region(layout.CODE, _CODE, READ | WRITE | EXECUTE),
    Region(layout.DATA, data_pages(), READ | WRITE),
    Region(layout.STACK, stack_pages(), READ | WRITE),
    Region(layout.USER_READ_ONLY, _ENDS, READ | EXECUTE),
    Region(layout.TOP_OF_4_GIB, _ENDS, READ | WRITE | EXECUTE),
)
"""The programs' pages that a process can map."""
_PAGES = {page.name: page.linear for page in layout.PAGES}
_SIGSYS, _SIGPROF = 31, 27
NO_ERROR_CODE = -1
_WITH_ERROR_CODE = frozenset([8, 10, 11, 12, 13, 14, 17])
_SELECTORS = ("CS", "SS", "DS", "ES", "FS", "GS")
_BASES = ("FS_BASE", "GS_BASE")
_FX = ("FCW", "FSW", "FTW", "MXCSR", *(f"ST{n}" for n in range(8)), *(f"XMM{n}" for n in range(16)))


@dataclass(frozen=True)
class State:
    """The state in which a program ended, as far as both witnesses report it."""

    end: str
    """`vector 14`, `limit`, `system call` or the like."""
    values: Mapping[str, int]
    """By manual names; `error_code`, and CR2 after a page fault."""
    memory: Mapping[int, int] = field(repr=False)
    """Changed bytes, by address."""


def _original(address: int, code: bytes) -> int | None:
    for region in REGIONS:
        offset = address - region.address
        if 0 <= offset < len(region.content):
            if region.address == layout.CODE and offset < len(code) + len(layout.END):
                return (code + layout.END)[offset]
            return region.content[offset]
    return None


def _bytes(pieces: Iterable[tuple[int, bytes]], code: bytes) -> dict[int, int]:
    found = {}
    for address, data in pieces:
        for offset, value in enumerate(data):
            if _original(address + offset, code) != value:
                found[address + offset] = value
    return found


def start(program: Program, code: bytes) -> Start:
    """The program for the host's processor, with this code."""
    long = program.mode is Mode.LONG
    registers = dict(zip(GENERAL, program.registers, strict=True))
    if not long:
        registers = {name: registers[name] & 0xFFFF_FFFF if name in GENERAL[:8] else 0 for name in GENERAL}
    data = 0 if long else records.DATA_SELECTOR
    registers |= {"RIP": layout.CODE, "CS": records.CODE_64_SELECTOR if long else records.CODE_32_SELECTOR}
    registers |= {"RFLAGS": program.rflags, "SS": records.DATA_SELECTOR, "DS": data, "ES": data, "FS": data, "GS": data}
    registers |= {"FS_BASE": program.fs_base, "GS_BASE": program.gs_base}
    return Start(registers, program.fx, ((layout.CODE, code + layout.END),))


def of_host(end: records.End, program: Program) -> State:
    """The state that the host's processor reports."""
    if end.killed:
        return State(f"killed by signal {end.signal}", {}, {})
    outcome = {_SIGSYS: "system call", _SIGPROF: "limit"}.get(end.signal, f"vector {end.vector}")
    if end.signal == _SIGSYS and _is_end(end.registers["RIP"], program, end.registers["CS"]):
        outcome = f"vector {layout.END_VECTOR}"
    values = {name: end.registers[name] for name in (*GENERAL, "RIP", "RFLAGS", *_SELECTORS, *_BASES)}
    fields = fx_fields(end.fx)
    values |= {name: fields[name] for name in _FX}
    fault = outcome.startswith("vector")
    values["error_code"] = end.error_code if fault and end.vector in _WITH_ERROR_CODE else NO_ERROR_CODE
    if fault and end.vector == 14:
        values["CR2"] = end.cr2
    return State(outcome, values, _bytes(end.memory, program.code))


def _is_end(rip: int, program: Program, _cs: int) -> bool:
    """Distinguish INT 80H from SYSCALL: both are stopped after the instruction."""
    offset = rip - layout.CODE
    code = program.code + layout.END
    if 2 <= offset <= len(code):
        return code[offset - 2 : offset] == layout.END
    return layout.USER_READ_ONLY <= rip <= layout.USER_READ_ONLY + PAGE_SIZE or rip > layout.TOP_OF_4_GIB or rip == 0


def of_ours(result: Result, program: Program) -> State:
    """The state that our machine reports."""
    vector = layout.END_VECTOR if result.end is End.DONE else result.vector
    outcome = f"vector {vector}" if vector is not None else result.end.value
    values = {name: result.registers[name] for name in (*GENERAL, "RIP", "RFLAGS", *_SELECTORS, *_BASES, *_FX)}
    values["error_code"] = NO_ERROR_CODE if result.error_code is None else result.error_code
    if vector == 14:
        values["CR2"] = result.registers["CR2"]
    pieces = ((_PAGES.get(change.page, -1) + change.offset, change.data) for change in result.memory)
    return State(outcome, values, _bytes(pieces, program.code))
