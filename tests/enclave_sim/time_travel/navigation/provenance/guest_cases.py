"""Guests that emit one value, with its chain labelled by hand: from the argument of the host call on."""

from typing import NamedTuple


class Case(NamedTuple):
    """The body of a module, the chain of the argument of its last host call, and the part of the value asked for."""

    name: str
    body: str
    expected: str


MEMORY = '(memory 1) (data (i32.const 16) "\\2a\\01\\02\\03")'
EMIT = "(call $emit_signal"
DATA = "(payload: payload 0, data segment 0, byte {data} of the module)"
SEGMENT = f"data segment 0[] {DATA}"


def start(code: str, *others: str) -> str:
    """A module with one function."""
    return f'{" ".join(others)} (func (export "_start") {code})'


CASES = (
    Case("a constant", start(f"{EMIT} (i32.const 7))"), "i32.const 7[0x7]"),
    Case("an addition", start(f"{EMIT} (i32.add (i32.const 7) (i32.const 8)))"),
         "i32.add[i32.const 7[0x7], i32.const 8[0x8]]"),
    Case("a data segment", start(f"{EMIT} (i32.load (i32.const 16)))", MEMORY), f"i32.load align=4[{SEGMENT}, @]"),
    Case("a byte of a data segment", start(f"{EMIT} (i32.load8_u (i32.const 16)))", MEMORY),
         f"i32.load8_u align=1[{SEGMENT}, @]"),
    Case("a store over a part of a data segment",
         start(f"(i32.store8 (i32.const 16) (i32.const 9)) {EMIT} (i32.load16_u (i32.const 16)))", MEMORY),
         "i32.load16_u align=2[i32.store8 align=1[i32.const 9[0x9], @], "
         "data segment 0[] (payload: payload 0, data segment 0, byte {data1} of the module), @]"),
    Case("memory that the guest has not written", start(f"{EMIT} (i32.load (i32.const 64)))", "(memory 1)"),
         "i32.load align=4[mov dword ptr [rax + 0x124], 1[0, @rax] (device: scrub engine), @]"),
    Case("a local", start(f"(local i32) (local.set 0 (i32.const 5)) {EMIT} (local.get 0))"),
         "local.set 0[i32.const 5[0x5]]"),
    Case("a local that begins as zero", start(f"(local i32) {EMIT} (local.get 0))"), "a local that begins as 0[0x0]"),
    Case("a global",
         start(f"(global.set $g (i32.const 5)) {EMIT} (global.get $g))", "(global $g (mut i32) (i32.const 3))"),
         "global.set 0[i32.const 5[0x5]]"),
    Case("the initial value of a global", start(f"{EMIT} (global.get $g))", "(global $g i32 (i32.const 3))"),
         "a global that begins as 0x3[0x3]"),
    Case("an argument of a function",
         start(f"{EMIT} (call $twice (i32.const 4)))",
               "(func $twice (param i32) (result i32) (i32.add (local.get 0) (local.get 0)))"),
         "i32.add[i32.const 4[0x4]]"),
    Case("a select", start(f"{EMIT} (select (i32.const 1) (i32.const 2) (i32.const 0)))"),
         "select[i32.const 2[0x2], ?]"),
    Case("a loop",
         start("(local i32) (local.set 0 (i32.const 2)) (loop $again "
               "(br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) "
               f"{EMIT} (local.get 0))"),
         "local.tee 0[i32.sub[local.tee 0[i32.sub[local.set 0[i32.const 2[0x2]], i32.const 1[0x1]]], "
         "i32.const 1[0x1]]]"),
    Case("the other side of an if",
         start(f"{EMIT} (if (result i32) (i32.const 0) (then (i32.const 1)) (else (i32.const 2))))"),
         "i32.const 2[0x2]"),
    Case("an indirect call",
         start(f"{EMIT} (call_indirect (result i32) (i32.const 0)))",
               "(table 1 funcref) (elem (i32.const 0) $f) (func $f (result i32) (i32.const 6))"),
         "i32.const 6[0x6]"),
    Case("floating point", start(f"{EMIT} (i32.trunc_f64_s (f64.sqrt (f64.const 16))))"),
         "i32.trunc_f64_s[f64.sqrt[f64.const 16[0x4030000000000000]]]"),
    Case("a copy of memory",
         start(f"(memory.copy (i32.const 32) (i32.const 16) (i32.const 4)) {EMIT} (i32.load (i32.const 32)))", MEMORY),
         f"i32.load align=4[memory.copy[{SEGMENT}, @, @, @], @]"),
    Case("filled memory",
         start(f"(memory.fill (i32.const 32) (i32.const 9) (i32.const 1)) {EMIT} (i32.load8_u (i32.const 32)))",
               MEMORY),
         "i32.load8_u align=1[memory.fill[i32.const 9[0x9], @, @], @]"),
    Case("the size of memory", start(f"{EMIT} (memory.size))", "(memory 2)"), "memory.size[0x2]"),
)  # fmt: skip
