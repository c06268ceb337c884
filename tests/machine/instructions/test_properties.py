"""Properties of every transfer and segment register load, whatever is on the stack and in the tables."""

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.architecture.exceptions import Fault
from machine.instructions.segmentation.interrupt_return import InterruptReturn
from machine.instructions.segmentation.task_switch import TaskFault
from tests.machine.instructions.processor import (
    ABSENT,
    CODE_64,
    CODE_64_USER,
    DATA,
    DATA_0,
    DATA_3,
    GDT,
    KERNEL_STACK,
    READ_ONLY,
    USER_STACK,
    Mode,
    Processor,
)

CALLS, RETURNS = ["48ff1b", "ff1b", "66ff1b"], ["48cf", "cf", "66cf", "48cb", "cb", "66cb", "ca1000"]
LOADS = ["48ff2b", "ff2b", "8ed0", "8ee8", "8e1b", "0fa1", "0fa9", "0fb21b", "480fb41b", "0f00d0", "0f00d8"]
LONG = CALLS + RETURNS + LOADS + ["0f02c8", "0f03c8", "0f00e0", "0f00e8"]
OTHER = [code for code in LONG if not code.startswith("48")] + ["17", "1f", "07", "c41b", "c51b"]
PROCESSORS: dict[tuple[Mode, int], tuple[Processor, Any]] = {}


def fresh(mode: Mode, ring: int) -> Processor:
    """A processor reset to its initial state, because making one takes long."""
    if (mode, ring) not in PROCESSORS:
        made = Processor(mode, ring)
        PROCESSORS[mode, ring] = made, (made.cpu.save_state(), bytes(made.ram.view))
    processor, (state, memory) = PROCESSORS[mode, ring]
    processor.ram.write(0, memory)
    processor.cpu.load_state(state)
    processor.cpu.rflags = 2
    processor.cpu.memory.flush()
    return processor


selectors = st.builds(lambda index, low: index << 3 | low, st.integers(0, 0x20), st.integers(0, 7))
offsets = st.sampled_from([0, 0x2000, 0x3_2000, DATA, USER_STACK, 0xFFFF_FFFF, 0x8000_0000_0000, 2**64 - 8])
words = st.one_of(selectors, offsets, st.sampled_from([2, 0x202, 0x2_0002, 0x4002, 0x3002]))
stacks = st.sampled_from(
    [0, 4, KERNEL_STACK, USER_STACK, READ_ONLY + 8, ABSENT - 8, ABSENT + 0x1000, 0xFFFC, 2**47 - 8, 2**64 - 4]
)
descriptors = st.dictionaries(
    st.integers(0, 31),
    st.builds(
        lambda access, flags, base, limit: struct.pack("<HHBBBB", limit, base, 0, access, flags << 4 | 0xF, 0),
        st.integers(0, 255),
        st.integers(0, 15),
        st.sampled_from([0, 0x3000, 0x5000]),
        st.sampled_from([0, 0x67, 0xFFFF]),
    ),
    max_size=4,
)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("ring", [0, 3])
@settings(max_examples=150)
@given(
    data=st.data(),
    table=descriptors,
    frame=st.lists(words, min_size=6, max_size=6),
    pointer=words,
    selector=selectors,
    rsp=stacks,
    rflags=st.sampled_from([2, 0x4002, 0x3202, 0x4_0002]),
)
def test_an_instruction_is_executed_or_changes_nothing(
    mode: Mode, ring: int, data: st.DataObject, table: dict[int, bytes], frame: list[int], pointer: int, selector: int,
    rsp: int, rflags: int,
) -> None:  # fmt: skip
    """And only a call gate, or another task, leads to an inner ring."""
    processor = fresh(mode, ring)
    registers = processor.cpu.registers
    for index, content in table.items():
        processor.ram.write(GDT + 8 * index, content)
    code = data.draw(st.sampled_from(LONG if mode is Mode.LONG else OTHER))
    size = data.draw(st.sampled_from([2, 4, 8]))
    mask = 2**64 - 1 if mode is Mode.LONG else 0xFFFF_FFFF
    content = b"".join((word & (1 << 8 * size) - 1).to_bytes(size, "little") for word in frame)
    registers.rsp, registers.rax, registers.rbx, processor.cpu.rflags = rsp & mask, selector, DATA, rflags
    if rsp + len(content) < 1 << 20:
        processor.ram.write(rsp, content)
    width = 2 if "66" in code else 8 if code.startswith("48") else 4
    processor.ram.write(DATA, (pointer & (1 << 8 * width) - 1).to_bytes(width, "little") + struct.pack("<H", selector))
    before, task = processor.state, registers.tr.selector
    try:
        processor.execute(code)
    except TaskFault:
        assert mode is Mode.PROTECTED
    except Fault:
        assert processor.state == before
        return
    if registers.tr.selector != task:
        return
    assert registers.cpl == registers.cs.selector & 3
    assert registers.cpl >= ring or code in CALLS
    assert registers.cpl <= ring or code in RETURNS


@settings(max_examples=150)
@given(
    frame=st.tuples(
        offsets,
        st.one_of(selectors, st.sampled_from([CODE_64, CODE_64_USER | 3, 1 << 16 | CODE_64])),
        st.integers(0, 2**64 - 1).map(lambda flags: flags & ~0x4000),
        offsets,
        st.one_of(selectors, st.sampled_from([DATA_0, DATA_3 | 3])),
    ),
    table=descriptors,
    rsp=stacks,
)
def test_the_short_way_of_iretq_is_the_long_way(frame: tuple[int, ...], table: dict[int, bytes], rsp: int) -> None:
    def outcome(*, short: bool) -> object:
        processor = fresh(Mode.LONG, 0)
        for index, content in table.items():
            processor.ram.write(GDT + 8 * index, content)
        if rsp + 40 < 1 << 20:
            processor.ram.write(rsp, struct.pack("<5Q", *frame))
        processor.cpu.registers.rsp = rsp
        try:
            with pytest.MonkeyPatch.context() as patch:
                if not short:
                    patch.setattr(InterruptReturn, "_return_by_common_segments", lambda _self: False)
                processor.execute("48cf")
        except Fault as fault:
            return fault.vector, fault.error_code, fault.address, processor.state
        return processor.state

    assert outcome(short=True) == outcome(short=False)


def test_the_short_way_is_taken_by_a_host_call() -> None:
    processor = fresh(Mode.LONG, 0)
    processor.push(DATA_3 | 3, USER_STACK, 2, CODE_64_USER | 3, 0x3_2000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("machine.instructions.segmentation.interrupt_return.check_return", None)
        processor.execute("48cf")
    assert processor.cpu.registers.cpl == 3
