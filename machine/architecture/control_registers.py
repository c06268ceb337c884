"""Checks of values for the control registers (SDM volume 3, 2.5), which Unicorn does not perform.

Each raises Fault (#GP). Reserved bits of CR0 below bit 32 may be written, and read as zero.
"""

import struct

import msgspec

from machine.architecture.exceptions import GP, Fault
from machine.architecture.paging import PHYSICAL_ADDRESS_BITS, SupervisorMemory
from machine.architecture.processor_state import ProcessorState

CR0_PE, CR0_MP, CR0_EM, CR0_TS, CR0_ET, CR0_NE = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5
CR0_WP, CR0_AM, CR0_NW, CR0_CD, CR0_PG = 1 << 16, 1 << 18, 1 << 29, 1 << 30, 1 << 31
CR0_BITS = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG
CR4_TSD, CR4_DE, CR4_PSE, CR4_PAE, CR4_PGE, CR4_PCE = 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 7, 1 << 8
CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_UMIP, CR4_FSGSBASE = 1 << 9, 1 << 10, 1 << 11, 1 << 16
CR4_SMEP, CR4_SMAP = 1 << 20, 1 << 21
CR4_BITS = (
    CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT
    | CR4_UMIP | CR4_FSGSBASE | CR4_SMEP | CR4_SMAP
)  # fmt: skip
"""The supported bits: no virtual-8086 extensions, machine checks, PCIDs, XSAVE, protection keys etc."""
_EFER_LME, _EFER_LMA = 1 << 8, 1 << 10


class PointerBits(msgspec.Struct, frozen=True):
    """The bits of CR0 or CR4 that matter for the page-directory pointers of PAE paging (4.4.1)."""

    needed: int
    """PAE paging needs it."""
    loading: int
    """The pointers are loaded when one of them changes."""


POINTER_BITS_CR0 = PointerBits(CR0_PG, CR0_CD | CR0_NW | CR0_PG)
POINTER_BITS_CR4 = PointerBits(CR4_PAE, CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)
_CODE_64 = 1 << 21
_PDPTE_RESERVED = 0x1E6 | -(1 << PHYSICAL_ADDRESS_BITS) & 2**64 - 1


def check_cr0(state: ProcessorState, memory: SupervisorMemory, value: int) -> None:
    """Check a value for CR0.

    Turning on paging with EFER.LME set enters IA-32e mode: that needs CR4.PAE and a code segment without L. Paging
    cannot be turned off in 64-bit mode.

    Args:
        state: The processor before the write.
        memory: Memory of the processor, to check the page-directory pointers that PAE paging loads.
        value: The value to be written.

    Raises:
        Fault: #GP(0): the value is not allowed.
    """
    if value >> 32 or (value & CR0_PG and not value & CR0_PE) or (value & CR0_NW and not value & CR0_CD):
        raise Fault(GP, 0)
    changed = value ^ state.cr[0]
    turned_on = value & changed & CR0_PG
    if turned_on and state.efer & _EFER_LME and (not state.cr[4] & CR4_PAE or state.cs.flags & _CODE_64):
        raise Fault(GP, 0)
    if not value & CR0_PG and state.in_64_bit_code:
        raise Fault(GP, 0)
    in_use = value & CR0_PG and state.cr[4] & CR4_PAE and not state.efer & _EFER_LME
    if in_use and changed & POINTER_BITS_CR0.loading:
        _check_pointers(memory, state.cr3)


def check_cr3(state: ProcessorState, memory: SupervisorMemory, value: int) -> None:
    """Check a value for CR3: no bit above the physical address width, and with PAE paging four valid pointers.

    Args:
        state: The processor before the write.
        memory: Memory of the processor, to check the page-directory pointers.
        value: The value to be written.

    Raises:
        Fault: #GP(0): the value is not allowed.
    """
    if value >> PHYSICAL_ADDRESS_BITS:
        raise Fault(GP, 0)
    if state.cr[0] & CR0_PG and state.cr[4] & CR4_PAE and not state.efer & _EFER_LMA:
        _check_pointers(memory, value)


def check_cr4(state: ProcessorState, memory: SupervisorMemory, value: int) -> None:
    """Check a value for CR4. PAE cannot be cleared in IA-32e mode.

    Args:
        state: The processor before the write.
        memory: Memory of the processor, to check the page-directory pointers that PAE paging loads.
        value: The value to be written.

    Raises:
        Fault: #GP(0): the value is not allowed.
    """
    if value & ~CR4_BITS or (state.efer & _EFER_LMA and not value & CR4_PAE):
        raise Fault(GP, 0)
    in_use = value & CR4_PAE and state.cr[0] & CR0_PG and not state.efer & _EFER_LMA
    if in_use and (value ^ state.cr[4]) & POINTER_BITS_CR4.loading:
        _check_pointers(memory, state.cr3)


def pointers_at(memory: SupervisorMemory, cr3: int) -> list[int]:
    """Return the four page-directory pointers to which a value of CR3 points."""
    return list(struct.unpack("<4Q", memory.read_physical(cr3 & 0xFFFF_FFE0, 32)))


def _check_pointers(memory: SupervisorMemory, cr3: int) -> None:
    """Check the page-directory pointers, which PAE paging loads when CR3 or the mode changes (4.4.1)."""
    if any(pointer & 1 and pointer & _PDPTE_RESERVED for pointer in pointers_at(memory, cr3)):
        raise Fault(GP, 0)
