"""A resident VMM whose loop is broken, so that a guest writes wherever it wants: the page tables hold it in ring 3."""

from collections.abc import Iterator

import pytest
from wasmtime import wat2wasm

from enclave_sim.guarantees import isolated, observe, zero_trace
from enclave_sim.memory_map import GUEST_MEMORY, regions
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from firmware import Firmware
from tests.mutants.defect import Defect, Edit, Kernel

pytestmark = pytest.mark.slow

WILD = Defect(
    "wild-stores",
    "loads and stores of the interpreter take any address",
    Kernel(
        (Edit("vmm/memory_handlers.h", "(memory + (u64)(u32)(index) + offset)", "((u8 *)(u64)(u32)(index) + offset)"),)
    ),
    (),
    (),
)
PLACES = {one.name: one.base for one in regions() if one.name not in GUEST_MEMORY}
PLACES |= {"no page": 0x1000, "a guard": 0x60_0000, "the enclave block": 0xFEF0_0000, "the APIC": 0xFEE0_0300}


@pytest.fixture(scope="module")
def broken() -> Iterator[Firmware]:
    with WILD.made() as kernel:
        assert kernel is not None
        yield kernel


def writing(address: int) -> bytes:
    """Return a payload that stores at an address of the machine, and then says that it did."""
    store = f"(i32.store (i32.const {address - (address >> 31 << 32)}) (i32.const -1))"
    emit = '(import "aether" "emit_signal" (func $emit (param i32)))'
    text = f'(module {emit} (memory 1) (func (export "_start") {store} (call $emit (i32.const 666))))'
    return sign(bytes(wat2wasm(text)), development_key())


@pytest.mark.parametrize("place", PLACES)
def test_a_flaw_in_the_interpreter_does_not_reach(place: str, broken: Firmware) -> None:
    run = observe(writing(PLACES[place]), engine="resident", firmware=broken)
    assert (run.result.outcome, run.result.detail) == ("GUEST_FAULT", "#PF page fault")
    assert run.result.signals == ()
    isolated([run]).check()
    zero_trace([run]).check()


def test_the_loop_is_broken_indeed(broken: Firmware) -> None:
    """The interpreter's own stack can be written: the build is really another one."""
    run = observe(
        writing(next(one.base for one in regions() if one.name == "calls") + 0x3_0000),
        engine="resident",
        firmware=broken,
    )
    assert run.result.signals == (666,)
    isolated([run]).check()
