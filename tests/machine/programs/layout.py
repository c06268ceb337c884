"""The layout for programs: linear addresses, selectors, and physical pages.

A process on a 64-bit Linux host can also map the program's pages, and the selectors of code, data and task are those of
Linux, so that the same program runs on the host's own processor with the same result.
"""

from dataclasses import dataclass

from machine.bus.ram import PAGE_SIZE

RAM_SIZE = 1 << 19
CODE, DATA, STACK = 0x1000_0000, 0x2000_0000, 0x3000_0000
USER_READ_ONLY, SUPERVISOR, SUPERVISOR_READ_ONLY = 0x4000_0000, 0x4001_0000, 0x4002_0000
ABSENT, DEVICE, TORN = 0x4003_0000, 0x4004_0000, 0x4005_0000
TOP_OF_4_GIB = 0xFFFF_F000
LAST_CANONICAL, NON_CANONICAL = 0x7FFF_FFFF_F000, 0x8000_0000_0000
DEVICE_PHYSICAL = 0xFEDF_0000
KERNEL = 0x5000_0000
STACK_POINTER = STACK + PAGE_SIZE + 0x800
"""The default RSP: in the second page, with room on both sides."""
END = b"\xcd\x80"
"""INT 80H, which follows a program and ends it."""
ROUND_TRIP_VECTOR = 0x81
"""Its handler returns at once."""
RETURNING_TASK_VECTOR = 0x82
"""With peripherals in protected mode, a task gate to a task that returns at once."""
END_VECTOR, CALL_GATE_VECTOR, TASK_VECTOR, RETURNING_VECTOR = 0x80, 0x100, 0x101, 0x102
"""The last three are not vectors: they represent an arrival through a call gate or by a task switch."""
DMA_ADDRESS, DMA_WRITE, DMA_ZERO = 0x7F0, 0x7F8, 0x7FC
"""With peripherals, registers of the device: a physical address, to which a write of the second one stores the same
value, and a write of the third one so many zeros, at most 255."""
CLOCK = 0x7E8
"""With peripherals, a register of the device: the number of instructions that the program has begun."""
OPEN_PORTS = (*range(0x40, 0x43), 0x60, 0x61, 0x80, *range(0x3F8, 0x3FE))
"""With peripherals, the ports that the I/O permission bitmap opens for ring 3."""

KERNEL_CODE_32, KERNEL_CODE_64, KERNEL_DATA = 0x08, 0x10, 0x18
USER_CODE_32, USER_DATA, USER_CODE_64 = 0x23, 0x2B, 0x33
TASK, LDT = 0x40, 0x50
READ_ONLY_DATA, EXPAND_DOWN_DATA, SMALL_DATA, CODE_16 = 0x63, 0x6B, 0x73, 0x7B
EXECUTE_ONLY_CODE, CONFORMING_CODE, ABSENT_DATA, ABSENT_CODE = 0x83, 0x8B, 0x93, 0x9B
RING_1_DATA, FRESH_DATA = 0xA1, 0xAB
USER_CALL_GATE, KERNEL_CALL_GATE, AVAILABLE_TASK, TASK_GATE = 0xB3, 0xC0, 0xD0, 0xE3
RETURNING_TASK = 0xEB


@dataclass(frozen=True)
class Page:
    """Pages of one kind, with consecutive linear, but not physical, addresses."""

    name: str
    linear: int
    physical: tuple[int, ...]
    user: bool
    writable: bool
    executable: bool = False


PAGES = (
    Page("code", CODE, (0x30000,), True, True, True),
    Page("data", DATA, (0x32000, 0x31000), True, True),
    Page("stack", STACK, (0x34000, 0x33000), True, True),
    Page("user read-only", USER_READ_ONLY, (0x35000,), True, False, True),
    Page("supervisor", SUPERVISOR, (0x36000,), False, True, True),
    Page("supervisor read-only", SUPERVISOR_READ_ONLY, (0x37000,), False, False, True),
    Page("device", DEVICE, (DEVICE_PHYSICAL,), True, True),
    Page("torn", TORN, (0x38000,), True, True),
    Page("torn, supervisor", TORN + PAGE_SIZE, (0x39000,), False, True),
    Page("top of 4 GiB", TOP_OF_4_GIB, (0x3A000,), True, True, True),
    Page("last canonical", LAST_CANONICAL, (0x3B000,), True, True, True),
)
"""The pages of a program; all others are absent. TORN is a user page before a supervisor page."""

GDT, IDT, TSS, HANDLERS, STARTUP, PARAMETERS, INTERRUPT_STACK = range(KERNEL, KERNEL + 7 * PAGE_SIZE, PAGE_SIZE)
KERNEL_PAGES = Page("kernel", KERNEL, tuple(range(0x20000, 0x27000, PAGE_SIZE)), False, True, True)
INTERRUPT_STACK_TOP = INTERRUPT_STACK + PAGE_SIZE
FX_IN, FX_OUT, FRAME = PARAMETERS, PARAMETERS + 0x200, PARAMETERS + 0x800
HANDLER_SIZE = 8
TABLES, TABLES_SIZE = 0x2000, 0x10 * PAGE_SIZE
BOOT = 0x1000
"""Physical address at which the processor starts, with the tables that it loads only there."""
