"""Reasons why modules and their text are refused, in our own words."""

import pytest
from wasmtime import Engine, Module, WasmtimeError, wat2wasm

from enclave_sim.payload.wasm.refusals import invalid, not_text

MODULE = b"\0asm\1\0\0\0"
LIBRARY = ("Invalid input", "translation error", "mismatch:", "-->", "offset 0x", "index out of bounds")


def refused(module: bytes | str) -> str:
    with pytest.raises(WasmtimeError) as caught:
        Module(Engine(), bytes(wat2wasm(module)) if isinstance(module, str) else module)
    found = invalid(caught.value)
    assert not any(words in found for words in LIBRARY)
    return found


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("(module (func (result i32)))", "at byte 24, the operand stack is empty where i32 is expected"),
        ("(module (func i64.const 1 i32.eqz drop))", "at byte 25, an operand is of type i64 where i32 is expected"),
        ("(module (func i32.const 1))", "at byte 25, values remain on the operand stack at the end of a block"),
        ("(module (func call 5))", "at byte 23, there is no function 5"),
        ("(module (func br 4))", "at byte 23, a branch leaves more blocks than there are"),
        ("(module (memory 70000))", "at byte 11, a memory is larger than 4 GiB"),
        ('(module (func (export "a")) (func (export "a")))', "two exports are called a"),
        (MODULE + b"\x0e\0", "at byte 10, there is no section with the number 14"),
        (MODULE + b"\1\5\0", "at byte 10, a part of it ends too early"),
        (MODULE + b"\1\4\1\x60\0\0\3\2\1\0\x0a\5\1\3\0\xff\x0b", "at byte 23, there is no instruction 0xff"),
        (b"\0asm\2\0\0\0", "at byte 4, it is not of version 1 of WebAssembly"),
        (MODULE + b"\1\3\1\x61\0", "at byte 11, a rule of validation (WebAssembly core specification, chapter 3)"),
    ],
)
def test_an_invalid_module_is_refused_with_the_byte_and_the_rule(module: bytes | str, why: str) -> None:
    assert why in refused(module)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(module (func call $x))", "line 1, column 20: there is no func $x"),
        ("(module", "line 1, column 8: ) is expected"),
        ("(module\n (func i32.foo))", "line 2, column 8: neither an instruction nor a keyword that can be here"),
        ("(module (func i32.const 99999999999))", "line 1, column 25: it is not an i32 number"),
        ("(modal)", "line 1, column 2: it cannot be understood"),
    ],
)
def test_text_is_refused_with_line_and_column(text: str, why: str) -> None:
    with pytest.raises(WasmtimeError) as caught:
        wat2wasm(text)
    assert not_text(caught.value) == why
