"""What Unicorn gets wrong in ring 3 and the machine does itself: each mutant leaves some of it to Unicorn.

No trial exercises these: the strategies for ring-3 code, or the fuzzer's cases for other modes, must find them.
"""

from collections.abc import Callable
from unittest.mock import patch

from msgspec.structs import replace

from machine.architecture.decoding import Instruction
from machine.architecture.processor_state import ProcessorState
from machine.execution.execution import Execution
from machine.instructions import segment_limits
from machine.instructions.accesses import Access, accesses
from machine.instructions.disposition import Done
from machine.instructions.system_instructions import SystemInstructions
from machine.interrupts import unicorn_faults
from machine.processor.cpu import Cpu
from machine.processor.directory_pointers import DirectoryPointers
from machine.processor.fetch_faults import FetchFaults
from tests.mutants.defect import RING_3, SEARCH, SEARCH_MODES, Defect, Edit, NativeHook, Replacement, Several

_execute, _take_interrupt = SystemInstructions.execute, Execution.take_interrupt
_GROUP_5, _FAR_CALL, _INTERRUPT_RETURN = 0xFF, 3, 0xCF
_STORING = frozenset([0x88, 0x89, *range(0xD8, 0xE0), *range(0x0F90, 0x0FA0)])
_EXPLICIT_LENGTHS = (0x0F_3A60, 0x0F_3A61)


def _by_unicorn(chosen: Callable[[Instruction], bool]) -> Replacement:
    """Let Unicorn execute the chosen instructions."""

    def execute(self: SystemInstructions, instruction: Instruction) -> Done:
        return Done.NATIVE if chosen(instruction) else _execute(self, instruction)

    return Replacement(SystemInstructions, "execute", execute)


def _accesses_without_some_stores(cpu: Cpu, instruction: Instruction) -> list[Access]:
    """What MOV, SETcc and x87 instructions store counts as read."""
    found = accesses(cpu, instruction)
    if instruction.opcode in _STORING:
        return [replace(access, writes=False) for access in found]
    return found


def _take_interrupt_unchecked(self: Execution, *, pending: bool) -> bool:
    """Execute what delays an interrupt without its checks."""
    with patch.object(self, "step", self._step_unchecked):
        return _take_interrupt(self, pending=pending)


def _no_wrap(self: ProcessorState) -> None:
    """Leave RIP as it is."""


def _load_no_pointers(self: DirectoryPointers, value: int) -> None:
    """Set CR3 alone."""
    self._registers.cr[3] = value


MACHINE_DEFECTS = (
    Defect(
        "far-call-supervisor",
        "a far CALL pushes its return address with the rights of ring 0",
        _by_unicorn(lambda one: one.opcode == _GROUP_5 and one.extension == _FAR_CALL),
        (SEARCH,),
        (RING_3,),
    ),
    Defect(
        "string-length",
        "a string of 2^31 elements given to PCMPESTRI or PCMPESTRM ends the process",
        _by_unicorn(lambda one: one.opcode in _EXPLICIT_LENGTHS),
        (SEARCH,),
        (RING_3,),
    ),
    Defect(
        "segment-base-lost",
        "IRETQ to ring 3 clears the bases of FS and GS along with their selectors",
        _by_unicorn(lambda one: one.opcode == _INTERRUPT_RETURN),
        (SEARCH,),
        (RING_3,),
    ),
    Defect(
        "eip-beyond-4-gib",
        "after the last instruction below 4 GiB, EIP goes on beyond it in compatibility mode",
        Several(
            (
                Replacement(ProcessorState, "wrap_rip", _no_wrap),
                NativeHook((Edit("entering.h", "if (!(r->hflags & HFLAG_CODE_64))", "if (0)"),)),
            )
        ),
        (SEARCH_MODES,),
        (RING_3,),
    ),
    Defect(
        "fault-before-fetch",
        "an instruction that ends in an absent page raises #NM, #UD or #GP instead of a page fault",
        Replacement(unicorn_faults, "fetch_fault", lambda _cpu: None),
        (SEARCH_MODES,),
        (RING_3,),
    ),
    Defect(
        "fetch-before-limit",
        "where a run ends, and where an interrupt is due, the next instruction's fetch faults first",
        Replacement(FetchFaults, "due_before", lambda _self: None),
        (SEARCH_MODES,),
        (RING_3,),
    ),
    Defect(
        "shadow-unchecked",
        "the instruction that delays a pending interrupt is not checked against segment limits",
        Replacement(Execution, "take_interrupt", _take_interrupt_unchecked),
        (SEARCH_MODES,),
        (RING_3,),
    ),
    Defect(
        "read-only-stored",
        "MOV, SETcc and x87 instructions store through read-only data segments",
        Replacement(segment_limits, "accesses", _accesses_without_some_stores),
        (SEARCH_MODES,),
        (RING_3,),
    ),
    Defect(
        "operand-first",
        "what a segment does not allow comes before #UD and #NM of the instruction",
        Replacement(SystemInstructions, "check_before_access", lambda _self, _instruction: None),
        (SEARCH_MODES,),
        (RING_3,),
    ),
    Defect(
        "pointers-reread",
        "PAE paging reads its page-directory pointers from memory at every walk",
        Replacement(DirectoryPointers, "load_cr3", _load_no_pointers),
        (SEARCH_MODES,),
        (RING_3,),
    ),
)
