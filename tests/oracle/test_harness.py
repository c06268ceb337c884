"""The harness itself: it reads and corrects logs, and QEMU's runs repeat."""

from dataclasses import replace

import pytest

from tests.oracle import qemu, suite
from tests.oracle.compare import difference
from tests.oracle.records import Record, Run, normalised

INT_21 = Record(0x21, 0, True, 3, 0x40_0000)
FAILED = Record(13, 0x21 * 16 + 2, False, 3, 0x40_0000)


def test_error_code_of_a_failed_int_is_corrected() -> None:
    assert normalised((INT_21, FAILED)) == (INT_21, replace(FAILED, error_code=0x21 * 8 + 2))


@pytest.mark.parametrize(
    "records",
    [
        (FAILED,),
        (replace(INT_21, software=False), FAILED),
        (INT_21, replace(FAILED, rip=0x40_0002)),
        (INT_21, replace(FAILED, error_code=0x21 * 16)),
        (INT_21, replace(FAILED, vector=10)),
        (INT_21, INT_21, replace(FAILED, error_code=0x22 * 16 + 2)),
    ],
)
def test_nothing_else_is_corrected(records: tuple[Record, ...]) -> None:
    assert normalised(records) == records


def test_records_begin_inside_the_image() -> None:
    image = suite.image("faults")
    inside = image.symbols["next_case"]
    log = f"""
     0: v=0e e=0002 i=0 cpl=0 IP=0008:00000000000e0000 pc=0 SP=0 CR2=0000000000000010
check_exception old: 0xffffffff new 0xe
     1: v=0e e=0003 i=0 cpl=0 IP=0018:{inside:016x} pc=0 SP=0010:0 CR2=0000000000102066
     2: v=80 e=0000 i=1 cpl=3 IP=002b:0000000000400010 pc=0 SP=0023:0 env->regs[R_EAX]=0000000000000001
"""
    assert qemu.parse(log, image) == (Record(14, 3, False, 0, inside, 0x10_2066), Record(0x80, 0, True, 3, 0x40_0010))


def test_qemu_repeats_exactly() -> None:
    image = suite.image("timer")
    assert qemu.run(image) == qemu.run(image)


def test_memory_is_all_of_ram_when_the_processor_is_dead() -> None:
    image = suite.image("shutdown")
    run = qemu.run(image, memory=True)
    assert run.end == "shutdown"
    assert run.memory is not None
    assert len(run.memory) == qemu.RAM_SIZE
    at = image.symbols["pattern64"]
    assert run.memory[at : at + 8] == bytes([0x11] * 8)


def test_what_is_not_a_kernel_is_one_clear_error() -> None:
    with pytest.raises(qemu.QemuError, match="no end within 3 s"):
        qemu.run(replace(suite.image("faults"), elf=b"not a kernel"), timeout=3)


def test_a_difference_shows_the_place_and_what_stands_around_it() -> None:
    image = suite.image("faults")
    theirs = Run(b"one\ntwo\nthree\n", (INT_21,), "exit", 33)
    text = difference(image, theirs, replace(theirs, serial=b"one\ntwo\nfour\n", end="shutdown", status=None))
    assert "serial line 2 differs" in text
    assert "both  two" in text
    assert "QEMU  three" in text
    assert "ours  four" in text
    assert "QEMU exit 33, ours shutdown None" in text
    assert difference(image, theirs, theirs) == ""
