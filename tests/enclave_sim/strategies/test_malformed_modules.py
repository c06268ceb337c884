"""Every malformed module is refused with one line that matches its defect, without other effects."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim import Enclave
from enclave_sim.payload.errors import PayloadCheck, PayloadError, PayloadRejected
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.strategies import DefectiveModule, WasmGuest, malformed_modules, wasm_guests
from enclave_sim.strategies.module_defects import DEFECTS
from enclave_sim.strategies.wasm.builder import Options
from enclave_sim.strategies.wasm.statements import generate

WORDS = {
    "unknown section": "there is no section with the number",
    "size of a section out of range": "a LEB128 integer is too long",
    "size of a section too long": "a LEB128 integer is too long",
    "count too long": "a LEB128 integer is too long",
    "name that is not UTF-8": "a name is not UTF-8",
    "two memories": "needs multi-memory",
    "shared memory": "needs threads",
    "memory of 64-bit addresses": "needs memory64",
    "table of external references": "needs reference-types",
    "exception tag": "needs exceptions",
    "memory too large": "the guest heap holds 64",
    "table too large": "at most 65536 are allowed",
    "import from elsewhere": "import env.write is outside the contract",
    "import of an unknown function": "import aether.reboot is outside the contract",
    "import of a memory": "import aether.memory is a memory",
    "import of a table": "import aether.table is a table",
    "import of a global": "import aether.global is a global",
    "import of another type": "import aether.get_status is",
    "no entry": "exports no function _start",
    "entry that is a memory": "exports no function _start",
    "entry of another type": "export _start is () -> (i32)",
    "start section": "has a start section; a guest is entered by its export _start alone",
    "operand missing": "the operand stack is empty",
    "label that is not there": "a branch leaves more blocks than there are",
    "alignment above natural": "an alignment is larger than its access",
    "opcode that is not there": "there is no instruction",
    "two tables": "needs reference-types",
    "table of a type in its long form": "needs function references",
    "passive data": "needs bulk-memory",
    "passive elements": "needs bulk-memory",
    "parameter that is a reference": "needs reference-types",
    "bulk memory, copy of a table": "needs bulk-memory",
    "bulk memory, copy of a table, padded": "needs bulk-memory",
    "reference types, size of a table": "needs reference-types",
    "reference types, block": "needs reference-types",
    "reference types, select": "needs reference-types",
    "function references, block": "needs function references",
    "reference types, null": "needs reference-types",
    "SIMD": "needs simd",
    "threads, fence": "needs threads",
    "tail call": "needs tail calls",
    "exceptions": "needs exceptions",
    "wide arithmetic": "needs wide arithmetic",
    "GC": "needs GC",
}


def refusal(bench: Any, module: bytes) -> str:
    with pytest.raises(PayloadRejected) as refused:
        bench.engine.admit(module, None)
    assert refused.value.check is PayloadCheck.PROFILE
    assert "\n" not in str(refused.value)
    return refused.value.message


@settings(max_examples=200)
@given(malformed_modules())
def test_a_malformed_module_is_refused_in_one_line(bench: Any, bad: DefectiveModule) -> None:
    refusal(bench, bad.module)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_spoils_every_guest_and_the_refusal_fits_it(
    bench: Any, share: Callable[[int], int], name: str
) -> None:
    chance = random.Random(name)
    for _ in range(share(20)):
        tapes = [chance.randbytes(chance.randrange(33)) for _ in range(chance.randrange(5))]
        good = WasmGuest(generate(tapes, Options(traps=True, memory_pages=2, host_calls=True)))
        bench.engine.admit(good.module, None)
        assert WORDS.get(name, "") in refusal(bench, DEFECTS[name](good.source, chance.randrange(65536)))


@settings(max_examples=10)
@given(malformed_modules())
def test_the_enclave_annihilates_itself_for_a_malformed_module_that_is_signed(bad: DefectiveModule) -> None:
    try:
        payload = sign(bad.module, development_key())
    except PayloadError:  # not even framed as a module
        payload = bad.module
    result = Enclave(payload).run()
    assert (result.outcome, result.clean) == ("PAYLOAD_REJECTED", True)


@settings(max_examples=200)
@given(wasm_guests(max_size=4), st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1))
def test_a_guest_with_any_bytes_overwritten_is_taken_or_refused_in_one_line(
    bench: Any, guest: WasmGuest, changes: list[tuple[int, int]]
) -> None:
    module = bytearray(guest.module)
    for place, value in changes:
        module[place % len(module)] = value
    message = ""
    try:
        bench.engine.admit(bytes(module), None)
    except PayloadRejected as refused:
        message = str(refused)
    assert "\n" not in message
