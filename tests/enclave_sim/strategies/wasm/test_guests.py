"""Generated guests are valid, keep the contract, end, reach the whole profile, and shrink to something readable."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from wasmtime import wat2wasm

from enclave_sim import Enclave
from enclave_sim.enclave.engine.contract import HostCall, Returned, Trapped
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.payload.wasm.sections import assemble, sections
from enclave_sim.strategies import WasmGuest, wasm_guests
from enclave_sim.strategies.wasm.builder import MAX_COST, Options
from enclave_sim.strategies.wasm.encoding import encode_module
from enclave_sim.strategies.wasm.instructions import NAMES
from enclave_sim.strategies.wasm.statements import build
from tests.enclave_sim.strategies.surveys import surveyed

FUEL = 300_000
SLICE = 1_000_000
"""Traps without fuel accounting in wasmtime get the time of the end of the slice."""
survey = settings(max_examples=1500, database=None, derandomize=True, phases=[Phase.generate])
quick = settings(max_examples=100)
search = settings(max_examples=3000, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


def instructions(guest: WasmGuest) -> list[str]:
    return [instruction.name for function in guest.source.functions for instruction in function.body]


def spent(departures: list[Any]) -> int:
    return sum(departure.elapsed_ns for departure in departures)


@quick
@given(wasm_guests(memory_pages=64))
def test_text_and_binary_are_the_same_module(guest: WasmGuest) -> None:
    compiled = bytes(wat2wasm(guest.text))
    plain = encode_module(replace(guest.source, linked=False))
    assert assemble(part for part in sections(compiled) if part.name != "name") == plain


@quick
@given(wasm_guests(memory_pages=64))
def test_a_linked_guest_does_what_it_does_unlinked(bench: Any, guest: WasmGuest) -> None:
    linked, plain = (bench.run(encode_module(replace(guest.source, linked=linked))) for linked in (True, False))
    assert linked == plain


@quick
@given(wasm_guests(traps=False))
def test_a_guest_without_traps_returns_in_bounded_time(bench: Any, guest: WasmGuest) -> None:
    departures = bench.run(guest.module)
    assert isinstance(departures[-1], Returned)
    assert spent(departures) < FUEL


@quick
@given(wasm_guests(traps=True, memory_pages=64))
def test_a_guest_with_traps_returns_or_traps_in_bounded_time(bench: Any, guest: WasmGuest) -> None:
    departures = bench.run(guest.module)
    assert isinstance(departures[-1], Returned | Trapped)
    assert spent(departures) < FUEL + SLICE


@quick
@given(wasm_guests(min_size=20, max_size=256, traps=False))
def test_large_guests_end_as_well(bench: Any, guest: WasmGuest) -> None:
    departures = bench.run(guest.module)
    assert isinstance(departures[-1], Returned)
    assert spent(departures) < FUEL


@quick
@given(wasm_guests(host_calls=False))
def test_guests_without_host_calls_import_nothing(bench: Any, guest: WasmGuest) -> None:
    assert guest.source.imports == ()
    assert not any(isinstance(departure, HostCall) for departure in bench.run(guest.module))


@quick
@given(wasm_guests(min_size=3, max_size=5))
def test_bounds_are_kept(guest: WasmGuest) -> None:
    assert instructions(guest)
    assert (guest.source.memory_pages or 0) <= 2


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(st.binary(min_size=16, max_size=48), min_size=1, max_size=6))
def test_no_guest_executes_more_than_its_cost(bench: Any, tapes: list[bytes]) -> None:
    builder = build(tapes, Options(traps=False, memory_pages=1, host_calls=False))
    source = builder.finish()
    *others, start = source.functions
    idle = replace(source, functions=(*others, replace(start, body=())))  # takes what the segments take
    cost = builder.callees[-1].cost
    assert spent(bench.run(encode_module(source))) - spent(bench.run(encode_module(idle))) <= cost
    assert cost <= MAX_COST + sum(len(function.body) for function in source.functions)


@settings(max_examples=20)
@given(wasm_guests())
def test_a_signed_guest_runs_in_an_enclave_and_leaves_nothing(guest: WasmGuest) -> None:
    result = Enclave(sign(guest.module, development_key())).run()
    assert result.outcome in ("COMPLETED", "SHRED_SELF", "GUEST_FAULT")
    assert result.clean


@pytest.mark.slow
def test_a_thousand_guests_reach_every_instruction_and_every_part_of_a_module() -> None:
    seen: Counter[str] = Counter()

    @survey
    @given(wasm_guests())
    def look(guest: WasmGuest) -> None:
        source = guest.source
        seen.update(set(instructions(guest)))
        seen.update(item for item, _ in source.imports)
        seen.update(f"global {variable.type}" for variable in source.globals)
        for function in source.functions:
            seen.update(f"local {kind}" for kind in function.locals)
            seen.update("block of values" for i in function.body if i.name == "block" and i.immediates[0] >= 0)
        results = [len(results) for _, results in source.types]
        seen.update({"data": len(source.data), "elements": len(source.elements), "results": results.count(2)})
        seen["null element"] += None in source.table
        seen["linked"] += source.linked
        seen["exported global"] += any(variable.exported for variable in source.globals)
        seen["extended constant"] += any(len(variable.init) > 1 for variable in source.globals)

    parts = [
        "get_status",
        "emit_signal",
        "shred_self",
        "block of values",
        "data",
        "elements",
        "results",
        "null element",
        "linked",
        "exported global",
        "extended constant",
    ]
    parts += [f"{part} {kind}" for part in ("local", "global") for kind in ("i32", "i64", "f32", "f64")]
    assert surveyed(look, lambda: [name for name in (*NAMES, *parts) if seen[name] == 0]) == []


@pytest.mark.long
def test_a_thousand_guests_with_traps_meet_every_kind_of_trap(bench: Any) -> None:
    ends: Counter[str] = Counter()

    @survey
    @given(wasm_guests(min_size=6, max_size=20))
    def run(guest: WasmGuest) -> None:
        end = bench.run(guest.module)[-1]
        ends[end.detail if isinstance(end, Trapped) else "returned"] += 1

    kinds = [
        "out of bounds memory access",
        "call stack exhausted",
        "unreachable",
        "integer divide by zero",
        "uninitialized element",
        "indirect call type mismatch",
        "out of bounds table access",
    ]
    assert surveyed(run, lambda: [kind for kind in kinds if ends[kind] == 0]) == []
    assert ends["returned"] > ends.total() / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("property_", "most"),
    [
        (lambda guest: any(item == "emit_signal" for item, _ in guest.source.imports), 2),
        (lambda guest: "f64.store" in instructions(guest), 5),
        (lambda guest: "loop" in instructions(guest), 10),
        (lambda guest: "call_indirect" in instructions(guest), 12),
        (lambda guest: "i64.div_u" in instructions(guest), 12),
        (lambda guest: bool(guest.source.data), 6),
    ],
)
def test_guests_shrink_to_a_handful_of_instructions(property_: Callable[[WasmGuest], bool], most: int) -> None:
    smallest = find(wasm_guests(), property_, settings=search)
    assert len(instructions(smallest)) <= most


@pytest.mark.slow
def test_the_simplest_guest_is_an_empty_start() -> None:
    assert find(wasm_guests(), lambda _: True, settings=search).text.splitlines() == [
        "(module",
        "  (type $t0 (func))",
        '  (export "_start" (func $_start))',
        "  (func $_start (type $t0)",
        "  )",
        ")",
    ]


def test_a_failing_example_is_printed_as_text() -> None:
    @settings(database=None, derandomize=True)
    @given(guest=wasm_guests())
    def emits_nothing(guest: WasmGuest) -> None:
        assert "emit_signal" not in guest.text

    with pytest.raises(AssertionError) as failure:
        emits_nothing()
    notes = "\n".join(failure.value.__notes__)
    assert "guest=WasmGuest\n(module\n" in notes
    assert "    i32.const 0\n    call $emit_signal\n" in notes


@pytest.mark.slow
def test_guests_do_not_depend_on_the_order_of_sets() -> None:
    code = (
        "import hashlib; from enclave_sim.strategies.wasm.statements import *;"
        "from enclave_sim.strategies.wasm.encoding import encode_module;"
        "tapes = [hashlib.sha512(bytes([i])).digest() for i in range(50)];"
        "print(hashlib.sha256(encode_module(generate(tapes, Options(True, 64, True)))).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop()) == 2 * hashlib.sha256().digest_size + 1
