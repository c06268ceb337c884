"""Effects of MMX instructions on the x87 state, and none if they fault (SDM volume 3, 12.2 and 12.5)."""

import struct
from functools import cache

import pytest

from machine.architecture.exceptions import GP, PF
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import GENERAL, Change, End, Mode, Program, Result

TOP = 5
STATE = ("FSW", "FTW", *(f"ST{number}" for number in range(8)))


@cache
def bench(portable: bool) -> Bench:
    return Bench(portable=portable)


def numbers(top: int = TOP, vectors: bytes = b"") -> bytes:
    """An FXSAVE image with eight numbers, with physical registers 0 and 3 in use, and XMM0."""
    image = bytearray(struct.pack("<HHBxH8x8xI", 0x37F, top << 11, 0b1001, 0, 0x1F80).ljust(512, b"\0"))
    for index in range(8):
        image[32 + 16 * index : 42 + 16 * index] = struct.pack("<QH", 1 << 63 | index, 0x4000 + index)
    image[160 : 160 + len(vectors)] = vectors
    return bytes(image)


def run(code: str, mode: Mode, fx: bytes, **registers: int) -> Result:
    """The result with the native hook, which the portable one must also give."""
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER} | registers
    program = Program(bytes.fromhex(code), mode, registers=tuple(values.values()), fx=fx)
    native, portable = bench(False).run(program), bench(True).run(program)
    assert native == portable
    return native


@pytest.mark.parametrize("mode", Mode)
def test_emms_empties_all_registers_and_sets_top_to_0(mode: Mode) -> None:
    before, after = run("90", mode, numbers()), run("0F 77", mode, numbers())
    assert (after.end, after.registers["FTW"], after.registers["FSW"]) == (End.DONE, 0, 0)
    for index in range(8):  # the registers do not move
        assert after.registers[f"ST{(index + TOP) % 8}"] == before.registers[f"ST{index}"]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("code", ["0F 7E 0B", "0F 7F 0B", "0F E7 0B"])
@pytest.mark.parametrize(
    ("address", "error_code"),
    [(layout.ABSENT, 6), (layout.USER_READ_ONLY, 7), (layout.TORN + 0xFFE, 7)],
)
def test_a_store_that_faults_leaves_the_x87_state(address: int, error_code: int, code: str, mode: Mode) -> None:
    before, taken = run("90", mode, numbers()), run(code, mode, numbers(), RBX=address)
    assert (taken.vector, taken.error_code, taken.memory) == (PF, error_code, ())
    assert [taken.registers[name] for name in STATE] == [before.registers[name] for name in STATE]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("code", "size"), [("0F 7E 0B", 4), ("0F 7F 0B", 8), ("0F E7 0B", 8)])
def test_a_store_that_does_not_fault_enters_mmx(code: str, size: int, mode: Mode) -> None:
    ended = run(code, mode, numbers(top=0), RBX=layout.DATA)
    assert (ended.end, ended.registers["FTW"]) == (End.DONE, 0xFF)
    stored = bytearray(size)
    for change in ended.memory:
        stored[change.offset : change.offset + len(change.data)] = change.data
    assert bytes(stored) == (1 << 63 | 1).to_bytes(8, "little")[:size]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("code", ["66 0F 2C 13", "66 0F 2D 13"])
@pytest.mark.parametrize(
    ("address", "answer"),
    [(layout.ABSENT + 8, (GP, 0)), (layout.DATA + 1, (GP, 0)), (layout.ABSENT, (PF, 4))],
)
def test_a_conversion_to_mmx_that_faults_leaves_its_destination(
    address: int, answer: tuple[int, int], code: str, mode: Mode
) -> None:
    """Alignment comes before the page fault."""
    before, taken = run("90", mode, numbers()), run(code, mode, numbers(), RBX=address)
    assert (taken.vector, taken.error_code) == answer
    assert [taken.registers[name] for name in STATE] == [before.registers[name] for name in STATE]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("code", ["0F 58 03", "66 0F 59 03", "F2 0F 7C 03", "0F 5E 03", "66 0F 2D 03", "66 0F 5A 03"])
def test_alignment_comes_before_the_page_fault(code: str, mode: Mode) -> None:
    taken = run(code, mode, numbers(), RBX=layout.ABSENT + 1)
    assert (taken.vector, taken.error_code) == (GP, 0)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("opcode", ["52", "53"])
@pytest.mark.parametrize("modrm", ["C1", "03"])
def test_66h_means_nothing_to_rcpss_and_rsqrtss(modrm: str, opcode: str, mode: Mode) -> None:
    image = numbers(vectors=struct.pack("<8f", 9, 9, 9, 9, 4, 4, 4, 4))
    plain = run(f"F3 0F {opcode} {modrm}", mode, image, RBX=layout.STACK)
    both = run(f"66 F3 0F {opcode} {modrm}", mode, image, RBX=layout.STACK)
    assert both.end is End.DONE
    assert both.registers["XMM0"] == plain.registers["XMM0"]
    assert plain.registers["XMM0"] & 0xFFFF_FFFF != 0x4110_0000


@pytest.mark.parametrize(
    ("chosen", "answer"),
    [(0, (layout.ABSENT, None)), (1, (0xFFFF_FFFF_FFFF_FFFF, 6)), (2, (0, 6)), (3, (0xFFFF_FFFF_FFFF_FFFF, 6))],
)
def test_a_masked_move_wraps_at_the_top_of_memory(chosen: int, answer: tuple[int, int | None]) -> None:
    """Only the bytes selected by the mask in MM1 are accessed, and all of them are canonical."""
    image = bytearray(numbers(top=0))
    mask = sum(0x80 << 8 * index for index in range(2) if chosen >> index & 1)
    image[48:58] = struct.pack("<QH", mask, 0xFFFF)
    ended = run("0F F7 C1", Mode.LONG, bytes(image), RDI=2**64 - 1)
    address, error_code = answer
    if error_code is None:
        assert ended.end is End.DONE
    else:
        assert (ended.vector, ended.error_code, ended.registers["CR2"]) == (PF, error_code, address)


def test_a_masked_move_wraps_at_4_gib() -> None:
    image = bytearray(numbers(top=0))
    image[48:58] = struct.pack("<QH", 0x80, 0xFFFF)
    ended = run("0F F7 C1", Mode.PROTECTED, bytes(image), RDI=layout.TOP_OF_4_GIB + 0xFFF)
    assert ended.end is End.DONE
    assert ended.memory == (Change("top of 4 GiB", 0xFFF, b"\0"),) or ended.memory == ()
