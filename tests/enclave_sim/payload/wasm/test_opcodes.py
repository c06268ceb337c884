"""The opcode table against the ranges of the specification's index of instructions."""

from itertools import chain

import pytest

from enclave_sim.payload.wasm.opcodes import EMPTY_BLOCK, OPCODES, TYPES, Opcode, encode_opcode, natural_alignment

# WebAssembly core specification 2.0, index of instructions, without those of exceptions and tail calls.
PLAIN = [range(0x06), range(0x0B, 0x12), range(0x1A, 0x1D), range(0x20, 0x27), range(0x28, 0xC5), range(0xD0, 0xD3)]
NUMERIC = range(18)
VECTOR_HOLES = {0x9A, 0xA2, 0xA5, 0xA6, 0xAF, 0xB0, 0xB2, 0xB3, 0xB4, 0xBB, 0xC2, 0xC5, 0xC6, 0xCF, 0xD0, 0xD2, 0xD3,
                0xD4, 0xE2, 0xEE}  # fmt: skip
"""Numbers after the prefix FD that name no instruction."""


def test_every_opcode_of_the_specification_is_there_and_no_other() -> None:
    vector = set(range(256)) - VECTOR_HOLES
    wanted: set[Opcode] = {(opcode,) for opcode in chain.from_iterable(PLAIN)}
    wanted |= {(0xFC, number) for number in NUMERIC} | {(0xFD, number) for number in vector}
    assert set(OPCODES) == wanted


def test_no_two_opcodes_have_one_name() -> None:
    names = [name for name, _ in OPCODES.values()]
    assert sorted(name for name in set(names) if names.count(name) > 1) == ["select"]
    assert not [name for name in names if "-" in name]


@pytest.mark.parametrize(
    ("opcode", "encoded"), [((0x20,), "20"), ((0xFC, 8), "fc08"), ((0xFD, 127), "fd7f"), ((0xFD, 128), "fd8001")]
)
def test_the_number_after_a_prefix_is_a_leb128_integer(opcode: tuple[int, ...], encoded: str) -> None:
    assert encode_opcode(opcode).hex() == encoded


def test_the_codes_of_types_are_those_of_the_specification() -> None:
    codes = {code & 0x7F: name for code, name in TYPES.items()}
    assert codes == {
        0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref",
    }  # fmt: skip
    assert EMPTY_BLOCK & 0x7F == 0x40


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *[("i32.load", 4), ("i64.load", 8), ("f32.load", 4), ("f64.load", 8), ("v128.load", 16)],
        *[("i32.store", 4), ("i64.store", 8), ("f32.store", 4), ("f64.store", 8), ("v128.store", 16)],
        *[("i32.load8_s", 1), ("i64.load16_u", 2), ("i64.load32_s", 4), ("i32.store8", 1), ("i64.store32", 4)],
        *[("v128.load8x8_s", 8), ("v128.load16x4_u", 8), ("v128.load32x2_s", 8)],
        *[("v128.load8_splat", 1), ("v128.load64_splat", 8), ("v128.load32_zero", 4), ("v128.store64_lane", 8)],
    ],
)
def test_an_access_is_aligned_to_the_bytes_that_it_takes(name: str, size: int) -> None:
    assert natural_alignment(name) == size
