"""Task switches by CALL, JMP and IRET (SDM volume 3, chapter 8): busy flags, NT, back link, and what is refused."""

import struct

import pytest

from machine.cpu import FLAG_NT
from machine.exceptions import GP, NP, PF, TS
from machine.tasks import TaskFault
from tests.machine.instructions.processor import (
    ABSENT,
    BEYOND,
    BUSY_TASK,
    CODE,
    CODE_32,
    CODE_32_USER,
    DATA_0,
    GDT,
    OTHER_TASK,
    TASK,
    TASK_GATE,
    TSS,
    TSS_2,
    Mode,
    Processor,
    entry,
)

CALL, JUMP, IRET = "9a", "ea", "cf"
NEW_RIP, NEW_STACK = 0x3_4000, 0x1_4000


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
        ({"cs": CODE_32_USER}, TS, CODE_32_USER),
        ({"ss": 0}, TS, 0),
        ({"ds": BEYOND}, TS, BEYOND),
        ({"ldt": DATA_0}, TS, DATA_0),
        ({"cs": 0xA8, "eip": 0x1000}, GP, 0),
    ],
)
def test_a_task_that_cannot_begin_faults_in_the_new_task(changed: dict[str, int], vector: int, error_code: int) -> None:
    processor = processor_with(changed=changed)
    retired = processor.cpu.hook.retired
    with pytest.raises(TaskFault) as raised:
        processor.execute(far(CALL, OTHER_TASK))
    assert (raised.value.vector, raised.value.error_code) == (vector, error_code)
    assert processor.cpu.registers.tr.selector == OTHER_TASK
    assert processor.cpu.hook.retired == retired + 1
