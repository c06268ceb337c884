"""Guests made of random statements, and what traps in them."""

import ctypes
from collections.abc import Iterable
from itertools import chain, repeat
from typing import Any

from hypothesis import strategies as st
from wasmtime import ValType, wat2wasm

from enclave_sim.enclave.engine.contract import Departure, Returned, Trapped

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


def depart(b: Any, wasm: bytes, budgets: Iterable[int]) -> Iterable[Departure]:
    ctypes.memset(b.memory.address, 0, b.size)
    b.engine.instantiate(b.engine.admit(wasm, None))
    for budget in chain(budgets, repeat(1 << 40)):
        departure = b.engine.resume(STATUS, budget)
        yield departure
        if isinstance(departure, Returned | Trapped):
            return
