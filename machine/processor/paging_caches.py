"""The processor's caches of page tables: address translations, and the page-directory pointers of PAE paging."""

from collections.abc import Callable

from unicorn import Uc

from machine.architecture.paging import SupervisorMemory
from machine.architecture.processor_state import ProcessorState, SystemRegisters
from machine.architecture.unicorn_ffi import TLB_FLUSH, control, engine_handle
from machine.processor.directory_pointers import DirectoryPointers


class PagingCaches:
    """Flushes translations wherever they are, and loads the pointers when a processor loads them.

    Args:
        uc: The engine.
        registers: The processor's registers.
        memory: Its memory, which keeps translations, too.
        forget_pages: Drops the page that the instruction hook knows.
    """

    def __init__(
        self, uc: Uc, registers: ProcessorState, memory: SupervisorMemory, forget_pages: Callable[[], None]
    ) -> None:
        self._handle = engine_handle(uc)
        self._memory = memory
        self._forget_pages = forget_pages
        self.directory_pointers = DirectoryPointers(uc, registers, memory)

    def load_cr3(self, value: int) -> None:
        """Set CR3 to a checked value, with all that a processor does then."""
        self.directory_pointers.load_cr3(value)
        self.flush_tlb()

    def follow(self, before: bytes) -> None:
        """Load page-directory pointers if an instruction has changed CR0 or CR4 so that a processor loads them.

        Args:
            before: The `system_registers` before it.
        """
        if self.directory_pointers.after_change(SystemRegisters.from_buffer_copy(before)):
            self.flush_tlb()

    def flush_tlb(self) -> None:
        """Flush all address translations, Unicorn's too, after the machine changed paging."""
        control(self._handle, TLB_FLUSH)
        self.flush_translations()

    def flush_translations(self) -> None:
        """Flush address translations but Unicorn's, after a change of the paging mode or of the page tables."""
        self._memory.flush()
        self._forget_pages()
