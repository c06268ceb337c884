"""Task switches by CALL, JMP and IRET (SDM volume 3, chapter 8): busy flags, NT, back link, and faults."""

import struct

import pytest

from machine.architecture.exceptions import GP, NP, PF, SS, TS
from machine.instructions.segmentation.task_switch import TaskFault, TaskSwitch
from machine.processor.cpu import FLAG_NT
from tests.machine.instructions.processor import (
    ABSENT,
    ABSENT_CODE,
    ABSENT_DATA,
    BEYOND,
    BUSY_TASK,
    CODE,
    CODE_32,
    CODE_32_USER,
    DATA,
    DATA_0,
    EXECUTE_ONLY,
    GDT,
    LDT,
    LOCAL_TABLE,
    OTHER_TASK,
    SHORT_CODE,
    TASK,
    TASK_GATE,
    TSS,
    TSS_2,
    Mode,
    Processor,
    entry,
)

OSFXSR, HFLAG_OSFXSR = 1 << 9, 1 << 22
CALL, JUMP, IRET = "9a", "ea", "cf"
NEW_RIP, NEW_STACK = 0x3_4000, 0x1_4000
ABSENT_TABLE, SHORT_STACK, DOWN_STACK = 0xE8, 0xF0, 0xF8


def image(**changed: int) -> bytes:
    """A 32-bit TSS of a task of ring 0."""
    values = {"cr3": 0x10_0000, "eip": NEW_RIP, "eflags": 2, "esp": NEW_STACK, "cs": CODE_32, "ldt": 0}
    values |= dict.fromkeys(("es", "ss", "ds"), DATA_0) | changed
    words = [0] * 26
    for name, at in {"link": 0, "cr3": 7, "eip": 8, "eflags": 9, "esp": 14, "ldt": 24}.items():
        words[at] = values.get(name, 0)
    for at, name in enumerate(("es", "cs", "ss", "ds")):
        words[18 + at] = values[name]
    return struct.pack("<26I", *words)


def processor_with(
    descriptors: dict[int, bytes] | None = None, ring: int = 0, changed: dict[str, int] | None = None
) -> Processor:
    processor = Processor(Mode.PROTECTED, ring, descriptors or {})
    processor.ram.write(TSS_2, image(**changed or {}))
    return processor


def far(operation: str, selector: int) -> str:
    return operation + struct.pack("<IH", 0x666, selector).hex()


def busy(processor: Processor, selector: int) -> bool:
    return bool(processor.ram.read(GDT + selector + 5, 1)[0] & 2)


def word(processor: Processor, address: int) -> int:
    return int.from_bytes(processor.ram.read(address, 4), "little")


@pytest.mark.parametrize("selector", [OTHER_TASK, TASK_GATE])
def test_call(selector: int) -> None:
    processor = processor_with()
    processor.execute(far(CALL, selector))
    registers = processor.cpu.registers
    assert (registers.rip, registers.rsp, registers.tr.selector) == (NEW_RIP, NEW_STACK, OTHER_TASK)
    assert processor.cpu.rflags == FLAG_NT | 2
    assert (busy(processor, TASK), busy(processor, OTHER_TASK)) == (True, True)
    assert word(processor, TSS_2) & 0xFFFF == TASK
    assert (word(processor, TSS + 0x20), word(processor, TSS + 0x24)) == (CODE + 7, 2)
    assert registers.cr[0] & 8  # TS
    assert processor.cpu.hook.last == CODE


@pytest.mark.parametrize("selector", [OTHER_TASK, TASK_GATE])
def test_jump(selector: int) -> None:
    processor = processor_with(changed={"link": 0x1234})
    processor.cpu.rflags = 2 | FLAG_NT
    processor.execute(far(JUMP, selector))
    assert processor.cpu.registers.rip == NEW_RIP
    assert processor.cpu.rflags == 2
    assert (busy(processor, TASK), busy(processor, OTHER_TASK)) == (False, True)
    assert word(processor, TSS_2) & 0xFFFF == 0x1234
    assert word(processor, TSS + 0x24) == FLAG_NT | 2


def test_return() -> None:
    processor = processor_with()
    processor.execute(far(CALL, OTHER_TASK))
    processor.ram.write(TSS + 0x1C, struct.pack("<I", 0x10_0000))
    processor.execute(IRET)
    registers = processor.cpu.registers
    assert (registers.rip, registers.tr.selector, processor.cpu.rflags) == (CODE + 7, TASK, 2)
    assert (busy(processor, TASK), busy(processor, OTHER_TASK)) == (True, False)
    assert word(processor, TSS_2 + 0x24) == 2  # NT is not saved
    assert word(processor, TSS_2 + 0x20) == NEW_RIP + 1


@pytest.mark.parametrize("operation", [CALL, JUMP])
@pytest.mark.parametrize(
    ("selector", "descriptors", "ring", "answer"),
    [
        (OTHER_TASK, {OTHER_TASK: entry(0x09, 0, TSS_2, 0x67)}, 0, (NP, OTHER_TASK)),
        (OTHER_TASK, {OTHER_TASK: entry(0x89, 0, TSS_2, 0x66)}, 0, (TS, OTHER_TASK)),
        (OTHER_TASK, {}, 3, (GP, OTHER_TASK)),
        (OTHER_TASK | 3, {}, 0, (GP, OTHER_TASK)),
        (BUSY_TASK, {}, 0, (GP, BUSY_TASK)),
        (TASK, {}, 0, (GP, TASK)),
        (TASK_GATE, {TASK_GATE: entry(0x85)[:2] + bytes([OTHER_TASK, 0, 0, 0x85, 0, 0])}, 3, (GP, TASK_GATE)),
        (TASK_GATE, {TASK_GATE: bytes([0, 0, OTHER_TASK, 0, 0, 0x65, 0, 0])}, 0, (NP, TASK_GATE)),
        (TASK_GATE, {TASK_GATE: bytes([0, 0, OTHER_TASK | 4, 0, 0, 0xE5, 0, 0])}, 0, (GP, OTHER_TASK | 4)),
        (TASK_GATE, {TASK_GATE: bytes([0, 0, DATA_0, 0, 0, 0xE5, 0, 0])}, 0, (GP, DATA_0)),
        (TASK_GATE, {TASK_GATE: bytes([0, 0, 0, 0, 0, 0xE5, 0, 0])}, 0, (GP, 0)),
        (OTHER_TASK, {OTHER_TASK: entry(0x89, 0, ABSENT, 0x67)}, 0, (PF, 0)),
    ],
)
def test_what_is_refused(
    operation: str, selector: int, descriptors: dict[int, bytes], ring: int, answer: tuple[int, int]
) -> None:
    assert processor_with(descriptors, ring).fault(far(operation, selector)) == answer


@pytest.mark.parametrize("ring", [0, 3])
def test_a_task_gate_that_the_ring_may_use(ring: int) -> None:
    processor = processor_with(ring=ring)
    processor.execute(far(CALL, TASK_GATE))
    assert processor.cpu.registers.cpl == 0


@pytest.mark.parametrize(
    ("link", "descriptors", "answer"),
    [
        (OTHER_TASK, {}, (TS, OTHER_TASK)),  # not busy
        (BUSY_TASK | 4, {}, (TS, BUSY_TASK | 4)),
        (0, {}, (TS, 0)),
        (BEYOND, {}, (TS, BEYOND)),
        (DATA_0, {}, (TS, DATA_0)),
        (BUSY_TASK, {BUSY_TASK: entry(0x0B, 0, TSS_2, 0x67)}, (NP, BUSY_TASK)),
        (BUSY_TASK, {}, None),
    ],
)
def test_what_a_return_is_refused(link: int, descriptors: dict[int, bytes], answer: tuple[int, int] | None) -> None:
    processor = processor_with(descriptors)
    processor.ram.write(TSS, struct.pack("<H", link))
    processor.cpu.rflags = 2 | FLAG_NT
    assert processor.fault(IRET) == answer


@pytest.mark.parametrize(
    ("changed", "vector", "error_code"),
    [
        ({"cs": 0}, TS, 0),
        ({"cs": CODE_32_USER}, TS, CODE_32_USER),
        ({"cs": DATA_0}, TS, DATA_0),
        ({"cs": ABSENT_CODE}, NP, ABSENT_CODE),
        ({"ss": 0}, TS, 0),
        ({"ss": DATA_0 | 3}, TS, DATA_0),
        ({"ss": CODE_32}, TS, CODE_32),
        ({"ss": ABSENT_DATA}, SS, ABSENT_DATA),
        ({"ds": BEYOND}, TS, BEYOND),
        ({"ds": DATA_0 | 3}, TS, DATA_0),  # the descriptor's level is below its RPL
        ({"es": EXECUTE_ONLY}, TS, EXECUTE_ONLY),
        ({"es": ABSENT_DATA}, NP, ABSENT_DATA),
        ({"ldt": DATA_0}, TS, DATA_0),
        ({"ldt": LOCAL_TABLE | 4}, TS, LOCAL_TABLE | 4),
        ({"ldt": BEYOND}, TS, BEYOND),
        ({"ldt": ABSENT_TABLE}, TS, ABSENT_TABLE),
        ({"cs": SHORT_CODE, "eip": 0x1000}, GP, 0),
    ],
)
def test_a_task_that_cannot_begin_faults_in_the_new_task(changed: dict[str, int], vector: int, error_code: int) -> None:
    processor = processor_with({ABSENT_TABLE: entry(0x02, 0, LDT, 0xFFF)}, changed=changed)
    retired = processor.cpu.hook.retired
    with pytest.raises(TaskFault) as raised:
        processor.execute(far(CALL, OTHER_TASK))
    assert (raised.value.vector, raised.value.error_code) == (vector, error_code)
    assert processor.cpu.registers.tr.selector == OTHER_TASK
    assert processor.cpu.hook.retired == retired + 1


@pytest.mark.parametrize("eip", [0, 0xFFF])
def test_the_last_byte_of_the_code_segment_can_be_where_a_task_begins(eip: int) -> None:
    processor = processor_with(changed={"cs": SHORT_CODE, "eip": eip})
    processor.execute(far(CALL, OTHER_TASK))
    assert processor.cpu.registers.rip == eip


def test_a_task_has_a_local_descriptor_table_and_segments_in_it() -> None:
    processor = processor_with(changed={"ldt": LOCAL_TABLE, "ds": 0x0C, "es": 0x14})
    processor.ram.write(LDT + 8, entry(0x92, 4, 0x1234, 0x5678) + entry(0x9B, 4, 0x4321, 0x77))
    processor.execute(far(CALL, OTHER_TASK))
    registers = processor.cpu.registers
    table = registers.ldtr
    assert (table.selector, table.base, table.limit) == (LOCAL_TABLE, LDT, 0xFFF)
    assert (registers.ds.selector, registers.ds.base, registers.ds.limit) == (0x0C, 0x1234, 0x5678)
    assert (registers.es.selector, registers.es.base, registers.es.limit) == (0x14, 0x4321, 0x77)
    assert registers.ds.flags >> 8 & 1  # accessed, in the register
    assert processor.ram.read(LDT + 8 + 5, 1)[0] & 1  # and in the table


def test_the_busy_flag_has_to_be_writable() -> None:
    """Its byte is the first of a read-only page, and the rest of the descriptor is before it."""
    processor = processor_with()
    page = DATA + 0x1000
    processor.cpu.registers.gdtr.base = page - OTHER_TASK - 5
    processor.ram.write(page - OTHER_TASK - 5, processor.ram.read(GDT, 0x100))
    processor.ram.write(0x10_1000 + 4 * (page >> 12), struct.pack("<I", page | 0x65))
    assert processor.fault(far(CALL, OTHER_TASK)) == (PF, 3)


def test_a_task_has_its_own_address_space() -> None:
    """Translations of the old one are flushed."""
    processor = processor_with(changed={"cr3": 0x10_8000})
    registers, memory = processor.cpu.registers, processor.cpu.memory
    processor.ram.write(DATA, b"old.new.")
    processor.ram.write(DATA + 0x1000, b"new.")
    processor.ram.write(0x10_8000, struct.pack("<I", 0x10_9067))
    processor.ram.write(0x10_9000, processor.ram.read(0x10_1000, 0x1000))
    processor.ram.write(0x10_9000 + 4 * (DATA >> 12), struct.pack("<I", DATA + 0x1067))
    assert memory.read(DATA, 4) == b"old."
    processor.execute(far(CALL, OTHER_TASK))
    assert registers.cr[3] == 0x10_8000
    assert memory.read(DATA, 4) == b"new."


@pytest.mark.parametrize("wrong", [1 << 5, 1 << 40, 1 << 63])
@pytest.mark.parametrize("present", [0, 1])
def test_a_task_whose_page_directory_pointers_are_wrong_is_not_valid(present: int, wrong: int) -> None:
    """SDM volume 3, 4.4.1: with PAE, a present pointer with a reserved bit set."""
    directory, tables = TSS_2 + 0x800, 0x10_8000
    processor = processor_with(changed={"cr3": directory})
    registers = processor.cpu.registers
    for pointers in (directory, tables):
        processor.ram.write(pointers, struct.pack("<4Q", tables + 0x1001, 0, 0, 0))
    processor.ram.write(directory + 16, struct.pack("<Q", wrong | present))
    processor.ram.write(tables + 0x1000, struct.pack("<Q", 0xE3))
    registers.cr[3], registers.cr[4] = tables, 1 << 5
    processor.cpu.memory.flush()
    answer = processor.fault(far(CALL, OTHER_TASK))
    assert answer == ((TS, OTHER_TASK) if present else None)
    assert registers.cr3 == (tables if present else directory)


@pytest.mark.parametrize(
    ("stack", "selector", "vector"),
    [
        (0x1004, SHORT_STACK, None),
        (0x1005, SHORT_STACK, SS),
        (0x2004, DOWN_STACK, SS),
        (0x2005, DOWN_STACK, None),
        (ABSENT + 4, DATA_0, PF),
    ],
)
def test_an_error_code_needs_room_on_the_stack_of_the_new_task(stack: int, selector: int, vector: int | None) -> None:
    descriptors = {SHORT_STACK: entry(0x93, 4, 0, 0x1003), DOWN_STACK: entry(0x97, 4, 0, 0x2000)}
    processor = processor_with(descriptors)
    processor.load("ss", selector)
    processor.cpu.registers.rsp = stack
    tasks = TaskSwitch(processor.cpu)
    if vector is None:
        tasks.push_error_code(0x1234_5678, 1)
        assert processor.cpu.registers.rsp == stack - 4
        assert word(processor, stack - 4) == 0x1234_5678
    else:
        with pytest.raises(TaskFault) as raised:
            tasks.push_error_code(0x1234_5678, 1)
        assert (raised.value.vector, raised.value.error_code) == (vector, 1 if vector == SS else 2)
        assert raised.value.address == (ABSENT if vector == PF else None)
        assert processor.cpu.registers.rsp == stack


def test_a_task_of_16_bits_gets_its_error_code_as_a_word() -> None:
    processor = processor_with()
    processor.cpu.registers.tr.load(TASK, TSS, 0x2B, 0x8100)
    before = processor.cpu.registers.rsp
    processor.ram.write(before - 4, b"\xee" * 4)
    TaskSwitch(processor.cpu).push_error_code(0x1234_5678, 0)
    assert processor.cpu.registers.rsp == before - 2
    assert processor.ram.read(before - 4, 4) == bytes.fromhex("eeee7856")


@pytest.mark.parametrize("limit", [0x66, 0])
def test_a_task_whose_tss_is_too_short_can_be_left(limit: int) -> None:
    """Only that of the new task must be long enough (SDM volume 3, 8.3)."""
    processor = processor_with()
    processor.cpu.registers.tr.limit = limit
    processor.execute(far(CALL, OTHER_TASK))
    assert processor.cpu.registers.tr.selector == OTHER_TASK
    assert word(processor, TSS + 0x20) == CODE + 7


@pytest.mark.parametrize("cleared", [False, True])
def test_a_task_switch_refuses_sse_until_clts(cleared: bool) -> None:
    """#NM (SDM volume 3, 2.5, TS), which ends in a shutdown here: there is no IDT."""
    processor = processor_with()
    registers = processor.cpu.registers
    registers.cr[4] |= OSFXSR
    registers.hflags |= HFLAG_OSFXSR
    processor.ram.write(NEW_RIP, bytes.fromhex(("0f06" if cleared else "") + "0f28c1"))  # MOVAPS XMM0, XMM1
    processor.execute(far(CALL, OTHER_TASK))
    for _ in range(2):
        processor.machine.step()
    assert processor.machine.shut_down != cleared
    assert bool(registers.cr[0] & 8) != cleared
    if cleared:
        assert registers.rip == NEW_RIP + 5
