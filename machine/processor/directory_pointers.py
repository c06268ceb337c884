"""The page-directory pointers of PAE paging (SDM volume 3, 4.4.1).

A processor loads the four of them with CR3, and whenever software changes certain bits of CR0 and CR4. What is written
to their place in memory afterwards has no effect until the next load. Unicorn reads them from memory at every walk.
So it gets a CR3 that points to a copy, at an address that no entry of a table can have.
"""

import mmap
import struct
from ctypes import addressof, c_char

from unicorn import UC_PROT_READ, Uc

from machine.architecture.control_registers import POINTER_BITS_CR0, POINTER_BITS_CR4, pointers_at
from machine.architecture.paging import Mode, SupervisorMemory
from machine.architecture.processor_state import BEYOND_MEMORY, ProcessorState, SystemRegisters
from machine.bus.ram import PAGE_SIZE


class DirectoryPointers:
    """Keeps the pointers of one processor in its registers, and the copy for Unicorn.

    Args:
        uc: The engine.
        registers: The processor's registers.
        memory: Its memory, for the paging mode and the pointers in memory.
    """

    def __init__(self, uc: Uc, registers: ProcessorState, memory: SupervisorMemory) -> None:
        self._uc = uc
        self._registers = registers
        self._memory = memory
        self._copy: mmap.mmap | None = None
        """None until PAE paging is used: Unicorn becomes slower with each memory region."""

    def load_cr3(self, value: int) -> None:
        """Set CR3, and load the pointers if PAE paging is in use. The value must have been checked."""
        registers = self._registers
        if self._memory.mode is not Mode.PAE:
            registers.cr[3] = value
            return
        for index, pointer in enumerate(pointers_at(self._memory, value)):
            registers.directory_pointers[index] = pointer
        registers.cr3_of_pae = value
        registers.cr[3] = BEYOND_MEMORY
        self.copy()

    def before_change(self, number: int, value: int) -> None:
        """Forget the pointers if a value for CR0 or CR4 turns PAE paging off."""
        needed = (POINTER_BITS_CR0 if number == 0 else POINTER_BITS_CR4).needed
        if not value & needed:
            self._registers.cr[3] = self._registers.cr3

    def after_change(self, old: SystemRegisters) -> bool:
        """Load the pointers if PAE paging is in use and a bit of CR0 or CR4 has changed with which they are loaded.

        Args:
            old: The registers before the change.

        Returns:
            True if they were loaded.
        """
        if self._memory.mode is not Mode.PAE:
            return False
        now, before = self._registers.cr, old.cr
        changed = (now[0] ^ before[0]) & POINTER_BITS_CR0.loading or (now[4] ^ before[4]) & POINTER_BITS_CR4.loading
        if changed:
            self.load_cr3(self._registers.cr3)
        return bool(changed)

    def copy(self) -> None:
        """Give Unicorn the pointers that are in the registers, if they are in use."""
        pointers = self._registers.kept_pointers
        if pointers is None:
            return
        if self._copy is None:
            self._copy = mmap.mmap(-1, PAGE_SIZE)
            address = addressof(c_char.from_buffer(self._copy))
            self._uc.mem_map_ptr(BEYOND_MEMORY, PAGE_SIZE, UC_PROT_READ, address)
        struct.pack_into("<4Q", self._copy, 0, *pointers)
