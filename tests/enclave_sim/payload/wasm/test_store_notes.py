"""An instrumented module that notes its stores, executed by wasmtime beside the original: memory matches, and fuel adds
up."""

from typing import Any

import pytest
import wasmtime
from hypothesis import given, settings
from wasmtime import wat2wasm

from enclave_sim.payload.wasm.disassembler import disassembly
from enclave_sim.payload.wasm.sections import SectionId, bodies, custom_section, sections
from enclave_sim.payload.wasm.store_notes import noting
from enclave_sim.strategies import WasmGuest, wasm_guests

FUEL = 1_000_000


class Ran:
    """A run of a module's `_start`; an instrumented module watches some bytes."""

    def __init__(self, module: bytes, watched: range | None = None) -> None:
        config = wasmtime.Config()
        config.consume_fuel = True
        engine = wasmtime.Engine(config)
        store = wasmtime.Store(engine)
        store.set_fuel(FUEL)
        noted = None if watched is None else noting(module)
        compiled = wasmtime.Module(engine, module if noted is None else noted.module)
        imports: list[Any] = [
            wasmtime.Func(store, one.type, lambda *_arguments: None)
            for one in compiled.imports
            if isinstance(one.type, wasmtime.FuncType)
        ]
        exports: Any = wasmtime.Instance(store, compiled, imports).exports(store)
        if noted is not None and watched is not None:
            for name, value in ((noted.start, watched.start), (noted.end, watched.stop)):
                exports[name].set_value(store, wasmtime.Val.i64(value))
        try:
            exports["_start"](store)
            self.trapped = False
        except wasmtime.Trap:
            self.trapped = True
        self.fuel, self.writer = FUEL - store.get_fuel(), 0
        memory = exports.get("memory")
        self.memory = bytes(memory.read(store, 0, memory.data_len(store))) if memory is not None else b""
        if noted is not None:
            self.fuel -= exports[noted.fuel].value(store)
            self.writer = exports[noted.writer].value(store)


def module(code: str, more: str = "") -> bytes:
    text = f'(module (memory (export "memory") 1) {more} (func (export "_start") (local v128) {code}))'
    return bytes(wat2wasm(text))


def offsets(wasm: bytes) -> list[int]:
    """The offsets of the instructions that write memory."""
    writes = ("memory.fill", "memory.copy", "memory.init")
    code = [one for body in bodies(wasm) for one in disassembly(wasm, body)]
    return [one.offset for one in code if ".store" in one.name or one.name in writes]


STORES = {
    "(i32.store (i32.const 100) (i32.const 1))": range(100, 104),
    "(i64.store (i32.const 100) (i64.const 1))": range(100, 108),
    "(f32.store (i32.const 100) (f32.const 1))": range(100, 104),
    "(f64.store (i32.const 100) (f64.const 1))": range(100, 108),
    "(i32.store8 (i32.const 100) (i32.const 1))": range(100, 101),
    "(i32.store16 align=1 (i32.const 100) (i32.const 1))": range(100, 102),
    "(i64.store32 offset=3 align=2 (i32.const 97) (i64.const 1))": range(100, 104),
    "(i64.store8 offset=300 (i32.const 0) (i64.const 1))": range(300, 301),
    "(i32.store offset=0xfff0 (i32.const 8) (i32.const 1))": range(0xFFF8, 0xFFFC),
    "(v128.store (i32.const 100) (local.get 0))": range(100, 116),
    "(v128.store offset=70 (i32.const 30) (local.get 0))": range(100, 116),
    "(v128.store8_lane offset=1 3 (i32.const 99) (local.get 0))": range(100, 101),
    "(v128.store64_lane 1 (i32.const 100) (local.get 0))": range(100, 108),
    "(memory.fill (i32.const 100) (i32.const 7) (i32.const 9))": range(100, 109),
    "(memory.copy (i32.const 100) (i32.const 0) (i32.const 9))": range(100, 109),
    "(memory.init 0 (i32.const 100) (i32.const 1) (i32.const 2))": range(100, 102),
}


@pytest.mark.parametrize("code", STORES)
def test_a_store_is_noted_for_each_of_its_bytes_and_no_other(code: str) -> None:
    wasm, written = module(code, '(data "abcd")'), STORES[code]
    (offset,) = offsets(wasm)
    plain = Ran(wasm)
    for watched, noted in (
        (range(written.start, written.start + 1), True),
        (range(written.stop - 1, written.stop), True),
        (range(0, 0x10000), True),
        (range(written.start - 1, written.start), False),
        (range(written.stop, written.stop + 1), False),
        (range(written.start - 9, written.start), False),
    ):
        ran = Ran(wasm, watched)
        assert ran.writer == (offset if noted else 0), watched
        assert (ran.memory, ran.fuel) == (plain.memory, plain.fuel)


def test_the_last_store_is_the_one_that_is_noted() -> None:
    wasm = module("".join(f"(i32.store (i32.const {at}) (i32.const 1))" for at in (8, 12, 8, 16)))
    first, second, third, fourth = offsets(wasm)
    for watched, writer in (
        (range(8, 12), third),
        (range(12, 16), second),
        (range(8, 20), fourth),
        (range(8, 16), third),
        (range(0, 8), 0),
    ):
        assert Ran(wasm, watched).writer == writer
    assert first < second < third < fourth


def test_a_bulk_instruction_that_writes_nothing_is_not_noted() -> None:
    wasm = module("(memory.fill (i32.const 100) (i32.const 7) (i32.const 0))")
    assert Ran(wasm, range(0, 0x10000)).writer == 0


def test_a_store_that_traps_is_not_noted() -> None:
    wasm = module("(i32.store (i32.const 4) (i32.const 1)) (i32.store (i32.const 0xfffd) (i32.const 1))")
    ran = Ran(wasm, range(0, 0x10000))
    assert (ran.trapped, ran.writer) == (True, offsets(wasm)[0])


def test_offsets_that_take_several_bytes_are_noted() -> None:
    """A constant is a signed integer: 64 takes two bytes, and 8192 three."""
    store = "(i32.store (i32.const {}) (i32.const 1))"
    for number in [*range(12), 1200]:
        wasm = module(store.format(0) * number + store.format(4))
        assert Ran(wasm, range(4, 5)).writer == offsets(wasm)[-1]
    assert offsets(wasm)[-1] > 8192
    assert min(offsets(wasm)) < 64


@settings(max_examples=40, deadline=None)
@given(guest=wasm_guests(host_calls=False, traps=False))
def test_a_guest_that_notes_its_stores_does_what_it_did_for_the_same_fuel(guest: WasmGuest) -> None:
    plain, noted = Ran(guest.module), Ran(guest.module, range(0, 1 << 20))
    assert (noted.trapped, noted.fuel, noted.memory) == (plain.trapped, plain.fuel, plain.memory)


def test_our_names_are_none_of_the_modules() -> None:
    taken = '(global (export "note0") i32 (i32.const 1)) (global (export "note\'x") i32 (i32.const 1))'
    made = noting(module("", taken))
    assert (made.start, made.end, made.writer, made.fuel) == tuple(f"note''{n}" for n in range(4))
    plain = noting(module(""))
    assert (plain.start, plain.fuel) == ("note0", "note3")


def test_globals_and_exports_are_added_after_those_that_there_are() -> None:
    more = '(global $g (mut i32) (i32.const 4)) (global (export "x") i64 (i64.const 5)) (table (export "t") 1 funcref)'
    wasm = module("(i32.store (global.get $g) (i32.const 1))", more)
    assert Ran(wasm, range(4, 8)).writer == offsets(wasm)[0]
    engine = wasmtime.Engine()
    exports = [one.name for one in wasmtime.Module(engine, noting(wasm).module).exports]
    assert exports == [*(one.name for one in wasmtime.Module(engine, wasm).exports), *(f"note{n}" for n in range(4))]


@pytest.mark.parametrize("text", ["(module)", "(module (memory 1))", '(module (func (export "_start")))'])
def test_a_module_of_little_gets_the_globals_all_the_same(text: str) -> None:
    wasm = bytes(wat2wasm(text))
    made = noting(wasm)
    wasmtime.Module.validate(wasmtime.Engine(), made.module)
    ids = [section.id for section in sections(made.module)]
    assert {SectionId.GLOBAL, SectionId.EXPORT} <= set(ids)
    assert SectionId.CUSTOM not in [one.id for one in sections(noting(wasm + custom_section("x", b"")).module)]
    (kinds,) = [section.payload for section in sections(made.module) if section.id == SectionId.GLOBAL]
    assert kinds[0] == 10, "the notes, operands of a store, and a value of each plain type"


def test_a_vector_has_a_global_only_where_one_is_stored() -> None:
    for code, count in (("(v128.store (i32.const 0) (local.get 0))", 11), ("(drop (local.get 0))", 10)):
        (payload,) = [one.payload for one in sections(noting(module(code)).module) if one.id == SectionId.GLOBAL]
        assert payload[0] == count
