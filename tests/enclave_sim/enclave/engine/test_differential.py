"""The engine against plain wasmtime: synchronous, with its own memory and counted fuel."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime import Config, Engine, FuncType, Linker, Module, Store, Trap, wat2wasm

from enclave_sim.enclave.engine.contract import HostCall, Trapped
from tests.enclave_sim.enclave.engine.generated_guests import I32, STATUS, module, programs, traps

Outcome = tuple[list[int], bytes, str | None, int]


def plain(wasm: bytes) -> Outcome:
    """Signals, memory, trap code and fuel of a plain synchronous run."""
    config = Config()
    config.consume_fuel = True
    config.cranelift_nan_canonicalization = True
    config.max_wasm_stack = 256 << 10
    config.memory_init_cow = False  # or segments are mapped and take no fuel
    store = Store(Engine(config))
    store.set_fuel(1 << 40)
    signals: list[int] = []
    linker = Linker(store.engine)
    linker.define_func("aether", "get_status", FuncType([], [I32]), lambda: STATUS - (1 << 32))
    linker.define_func("aether", "emit_signal", FuncType([I32], []), lambda value: signals.append(value & 0xFFFFFFFF))
    exports: Any = linker.instantiate(store, Module(store.engine, wasm)).exports(store)
    code = None
    try:
        exports["_start"](store)
    except Trap as trap:
        code = str(trap.trap_code)
    memory = bytes(exports["memory"].read(store, 0, 65536))
    return signals, memory, code, (1 << 40) - store.get_fuel()


def ours(b: Any, wasm: bytes, budgets: list[int]) -> tuple[list[int], bytes, Trapped | None, int]:
    ctypes.memset(b.memory.address, 0, b.size)
    b.engine.instantiate(b.engine.admit(wasm, None))
    departures = b.run(budgets, answer=STATUS)
    signals = [d.argument for d in departures if isinstance(d, HostCall) and d.number == 1]
    trapped = departures[-1] if isinstance(departures[-1], Trapped) else None
    return signals, b.heap()[-65536:], trapped, sum(d.elapsed_ns for d in departures)


@pytest.fixture(scope="module", params=[True, False], ids=["guarded", "portable"])
def shared(request: pytest.FixtureRequest, bench: Callable[..., Any]) -> Any:
    return bench(guarded=request.param)


@pytest.mark.slow
@settings(max_examples=80)
@given(program=programs, budgets=st.lists(st.integers(1, 200), max_size=50))
def test_results_memory_and_time_are_those_of_plain_wasmtime(shared: Any, program: str, budgets: list[int]) -> None:
    wasm = module(program)
    signals, memory, code, fuel = plain(wasm)
    assert code is None
    assert ours(shared, wasm, budgets) == (signals, memory, None, fuel)


@pytest.mark.slow
@settings(max_examples=50)
@given(program=programs, trap=traps, budgets=st.lists(st.integers(1, 200), max_size=50))
def test_traps_leave_what_plain_wasmtime_leaves_at_one_time_for_all_budgets(
    shared: Any, program: str, trap: str, budgets: list[int]
) -> None:
    wasm = module(f"{program} {trap}")
    signals, memory, code, _ = plain(wasm)
    *left, trapped, time = ours(shared, wasm, budgets)
    assert left == [signals, memory]
    assert (trapped is None) == (code is None)
    assert ours(shared, wasm, [])[3] == time


def test_both_engines_agree_on_a_guest_that_only_returns(shared: Any) -> None:
    wasm = bytes(wat2wasm('(module (memory (export "memory") 1) (func (export "_start")))'))
    assert ours(shared, wasm, [])[3] == plain(wasm)[3]
