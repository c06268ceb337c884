"""Every numeric instruction, on every pair of interesting operands, has the bits that wasmtime computes."""

import struct
from itertools import product

import pytest
from wasmtime import wat2wasm

from enclave_sim.strategies.wasm.instructions import OPERATORS
from tests.firmware.vmm import reference
from tests.firmware.vmm.harness import TRAPS, Harness
from tests.sampling import sampled

_F32 = [0, 1, 0x7FFFFF, 0x800000, 0x3F000000, 0x3EFFFFFF, 0x3F7FFFFF, 0x3F800000, 0x3FC00000, 0x40200000, 0x4AFFFFFF]
_F32 += [0x4B000000, 0x4B000001, 0x4EFFFFFF, 0x4F000000, 0x4F7FFFFF, 0x4F800000, 0x5EFFFFFF, 0x5F000000, 0x5F7FFFFF]
_F32 += [0x5F800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x7FA00001, 0x7FFFFFFF]
_F64 = [0.5, 0.49999999999999994, 0.9999999999999999, 1.0, 1.5, 2.5, 2.0**51 + 0.5, 2.0**52 - 0.5, 2.0**52, 2.0**53 + 2]
_F64 += [
    2.0**31 - 1,
    2.0**31 - 0.5,
    2.0**31,
    2.0**31 + 1,
    2.0**32 - 0.5,
    2.0**32,
    2.0**63 - 1024,
    2.0**63,
    2.0**64 - 2048,
]
_F64 += [2.0**64, 1e-310, 1e-45, 3.4028235677973366e38, 1.7976931348623157e308]
_I32 = [
    0,
    1,
    2,
    7,
    31,
    32,
    33,
    127,
    128,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x12345678,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
]
_I64 = [
    *_I32,
    1 << 32,
    1 << 53 | 1,
    (1 << 63) - 1,
    (1 << 63) - 513,
    1 << 63,
    0xFFFF_FFFF_7FFF_FFFF,
    (1 << 64) - 1025,
    (1 << 64) - 1,
]


def _signed(values: list[int], bits: int) -> list[int]:
    return [*values, *(each | 1 << bits - 1 for each in values)]


VALUES = {
    "i32": _I32,
    "i64": _I64,
    "f32": _signed(_F32, 32),
    "f64": _signed(
        [struct.unpack("<Q", struct.pack("<d", each))[0] for each in _F64]
        + [0, 1, 0x7FF << 52, 0x7FF8 << 48, (0x7FF << 52) + 1, (1 << 63) - 1],
        64,
    ),
}
_TRAPPING = [name for name in OPERATORS if ".trunc_f" in name or "div_s" in name or "rem_" in name or "div_u" in name]


def _constant(type_: str, bits: int) -> str:
    if type_ in ("i32", "i64"):
        return f"({type_}.const {bits})"
    return f"({type_}.reinterpret_i{type_[1:]} (i{type_[1:]}.const {bits}))"


def _module(body: str) -> bytes:
    return bytes(wat2wasm(f'(module (memory (export "exposed memory") 2) (func (export "_start") {body}))'))


def _applied(name: str, operands: tuple[int, ...]) -> str:
    types = OPERATORS[name].operands
    return f"({name} {' '.join(map(_constant, types, operands))})"


@pytest.mark.parametrize("name", sampled([name for name in OPERATORS if name not in _TRAPPING], "i32.add", "f64.min"))
def test_an_instruction_computes_the_bits_that_wasmtime_computes(harness: Harness, name: str) -> None:
    types, result = OPERATORS[name]
    cases = list(product(*(VALUES[each] for each in types)))
    body = " ".join(
        f"({result}.store (i32.const {8 * at}) {_applied(name, operands)})" for at, operands in enumerate(cases)
    )
    module = _module(body)
    assert harness.run(module)[1] == reference.run(module)


@pytest.mark.slow
@pytest.mark.parametrize("name", sampled(_TRAPPING, "i32.div_s"))
def test_an_instruction_that_may_trap_traps_where_wasmtime_does(harness: Harness, name: str) -> None:
    types, result = OPERATORS[name]
    ends = set()
    for operands in product(*(VALUES[each] for each in types)):
        module = _module(f"({result}.store (i32.const 8) {_applied(name, operands)})")
        ours = harness.run(module)[1]
        assert ours == reference.run(module), f"{name} {[hex(each) for each in operands]}"
        ends.add(TRAPS[ours[-1].kind])
    assert ends == {"", "illegal" if ".trunc_f" in name else "divide"}


def test_the_smallest_integer_has_no_remainder_by_minus_one(harness: Harness) -> None:
    module = _module("(i32.store (i32.const 0) (i32.rem_s (i32.const 0x80000000) (i32.const -1)))")
    assert harness.run(module)[1][-1].record == "R"


def test_a_division_whose_result_is_not_used_traps(harness: Harness) -> None:
    assert TRAPS[harness.run(_module("(drop (i32.div_u (i32.const 1) (i32.const 0)))"))[1][-1].kind] == "divide"
