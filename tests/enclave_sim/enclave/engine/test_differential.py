"""The engine against plain wasmtime: synchronous, with its own memory and counted fuel."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime import Config, Engine, FuncType, Linker, Module, Store, Trap, ValType, wat2wasm

from enclave_sim.enclave.engine.contract import HostCall, Trapped

STATUS = 0x8000_001F
I32 = ValType.i32()

ROUNDED = "(i32.wrap_i64 (i64.reinterpret_f64 (f64.{} (f64.sqrt (f64.convert_i32_s {})) (f64.convert_i32_u {}))))"

constants = st.integers(-(2**31), 2**31 - 1) | st.integers(0, 20)
expressions: st.SearchStrategy[str] = st.recursive(
    st.builds("(i32.const {})".format, constants)
    | st.sampled_from(["(local.get $a)", "(local.get $b)", "(call $status)", "(memory.size)", "(global.get $g)"]),
    lambda inner: st.one_of(
        st.builds(
            "(i32.{} {} {})".format,
            st.sampled_from("add sub mul and or xor shl shr_s rotl lt_s gt_u eq".split()),
            inner,
            inner,
        ),
        st.builds("(i32.{} {} (i32.or {} (i32.const 1)))".format, st.sampled_from(["div_u", "rem_s"]), inner, inner),
        st.builds("(i32.load (i32.and {} (i32.const 0xfffc)))".format, inner),
        st.builds("(select {} {} {})".format, inner, inner, inner),
        st.builds("(call $helper {})".format, inner),
        st.builds(ROUNDED.format, st.sampled_from("add mul div min copysign".split()), inner, inner),
        st.builds("(i32.trunc_sat_f32_s (f32.div (f32.convert_i32_s {}) (f32.convert_i32_s {})))".format, inner, inner),
        st.builds("(memory.grow {})".format, inner),
    ),
    max_leaves=6,
)
traps = st.sampled_from(
    [
        "unreachable",
        "(drop (i32.div_s (local.get $a) (i32.const 0)))",
        "(drop (i32.load offset=65536 (local.get $a)))",
        "(i32.store offset=65533 (i32.and (local.get $b) (i32.const 7)) (local.get $a))",
        "(drop (i32.trunc_f64_s (f64.const 1e100)))",
        "(call_indirect (type $v) (i32.const 0))",
        "(call_indirect (type $v) (i32.const 9))",
        "(memory.fill (i32.or (local.get $a) (i32.const 0x10000)) (local.get $b) (i32.const 1))",
        "(memory.fill (i32.const 65529) (local.get $b) (i32.and (local.get $a) (i32.const 15)))",
        "(memory.copy (i32.const 1) (i32.and (local.get $a) (i32.const 0xffff)) (i32.const 65535))",
        "(memory.copy (local.get $a) (local.get $b) (i32.sub (i32.const 0) (i32.const 9)))",
    ]
)
anywhere = st.builds("(i32.and {} (i32.const 0xfeff))".format, expressions)
few = st.builds("(i32.and {} (i32.const {}))".format, expressions, st.sampled_from([1, 7, 31, 255]))
simple = st.one_of(
    st.builds("(local.set {} {})".format, st.sampled_from(["$a", "$b"]), expressions),
    st.builds("(global.set $g {})".format, expressions),
    st.builds("(i32.store (i32.and {} (i32.const 0xfffc)) {})".format, expressions, expressions),
    st.builds("(call $emit {})".format, expressions),
    st.builds("(memory.fill {} {} {})".format, anywhere, expressions, few),
    st.builds("(memory.copy {} {} {})".format, anywhere, anywhere, few),
)
COUNTER = "(local.set $n (i32.const {})) (loop $l {} (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
blocks = st.lists(simple, min_size=1, max_size=3).map(" ".join)
statements = st.one_of(
    simple,
    st.builds("(if {} (then {}) (else {}))".format, expressions, blocks, blocks),
    st.builds(COUNTER.format, st.integers(1, 40), blocks),
    st.builds("(block $out (br_if $out {}) {})".format, expressions, blocks),
)
programs = st.lists(statements, min_size=1, max_size=6).map(" ".join)


def module(body: str) -> bytes:
    return bytes(
        wat2wasm(f"""(module
      (import "aether" "get_status" (func $status (result i32)))
      (import "aether" "emit_signal" (func $emit (param i32)))
      (type $v (func)) (type $i (func (param i32) (result i32)))
      (memory (export "memory") 1 1) (table 2 funcref)
      (global $g (mut i32) (i32.sub (i32.const 9) (i32.mul (i32.const 2) (i32.const 3))))
      (data (i32.add (i32.const 64) (i32.const 36)) "some data that programs may find")
      (func $helper (type $i) (local $k i32)
        (loop $l (local.set 0 (i32.mul (local.get 0) (i32.const 33)))
          (br_if $l (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const 3))))
        (local.get 0))
      (elem (i32.sub (i32.const 5) (i32.const 5)) $helper)
      (func (export "_start") (local $a i32) (local $b i32) (local $n i32)
        {body}
        (i32.store (i32.const 0) (local.get $a)) (i32.store (i32.const 4) (local.get $b))))""")
    )


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
