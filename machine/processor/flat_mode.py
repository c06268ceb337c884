"""32-bit protected mode with flat segments and without paging: the mode in which a Multiboot loader starts a kernel."""

from machine.architecture.control_registers import CR0_ET, CR0_PE
from machine.architecture.processor_state import ProcessorState

_HFLAG_PE = 1 << 7
_FLAT_CODE_32, _FLAT_DATA_32 = 0x00CF_9B00, 0x00CF_9300


def load_flat_mode(registers: ProcessorState) -> None:
    """Set only the mode and its segments, in ring 0."""
    registers.cs.load(0x08, 0, 0xFFFF_FFFF, _FLAT_CODE_32)
    for segment in (registers.ds, registers.es, registers.ss, registers.fs, registers.gs):
        segment.load(0x10, 0, 0xFFFF_FFFF, _FLAT_DATA_32)
    registers.cr[0], registers.cr[2], registers.cr[3], registers.cr[4] = CR0_PE | CR0_ET, 0, 0, 0
    registers.efer = 0
    registers.hflags = _HFLAG_PE
    registers.follow_segments(0)
