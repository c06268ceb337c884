"""The judge's modules, which a validator must refuse or accept, and the one from which a student begins."""

from wasmtime import wat2wasm

_STATUS = '(import "aether" "get_status" (func $status (result i32)))'
_EMIT = '(import "aether" "emit_signal" (func $emit (param i32)))'
_IMPORTS = ("", _EMIT, _EMIT + _STATUS, _STATUS + _EMIT, _STATUS)
"""A validator may not look at a module's imports to tell who asks."""


def refused(number: int) -> list[bytes]:
    """Return modules that use a local which the function does not have; the number varies them."""
    own, arguments = 1 + number % 7, number // 7 % 5
    beyond = 1 + number // 35 % 100_000
    first = own + arguments
    functions = [
        _function(arguments, own, f"(drop (local.get {index}))") for index in (first, first + beyond, 0xFFFF_FFFF)
    ]
    functions += [
        _function(arguments, own, f"(local.set {index} (i64.const 7))")
        for index in (first, first + beyond, 0x8000_0000)
    ]
    functions += [_function(arguments, own, f"(drop (local.tee {first} (i64.const 7)))")]
    functions += [_function(0, 0, "(drop (local.get 0))")]
    return [_module(_IMPORTS[(number + at) % len(_IMPORTS)] + one) for at, one in enumerate(functions)]


def accepted(number: int) -> tuple[bytes, list[int]]:
    """Return a module that uses every local, and the signals that it emits."""
    own, value = 3 + number % 40, number & 0x7FFF_FFFF
    sets = "".join(f"(local.set {index} (i32.const {value ^ index}))" for index in range(1, own + 1))
    emits = "".join(f"(call $emit (local.get {index}))" for index in range(own + 1))
    body = f"(func $f (param i32) (local {'i32 ' * own}) {sets} {emits} (drop (local.tee {own} (i32.const 1))))"
    text = f'{_IMPORTS[1 + number % 3]} {body} (func (export "_start") (call $f (i32.const {value})))'
    return _module(text), [value, *(value ^ index for index in range(1, own + 1))]


def with_globals(count: int) -> bytes:
    """Return a module with a number of globals."""
    return _module('(func (export "_start"))' + "(global i32 (i32.const 1))" * count)


def skeleton(token: int) -> bytes:
    """Return the text from which a student begins."""
    return (
        ";; Translate and sign it by: enclave-sim payload sign exploit.wat --key NAME.key.json\n"
        f"(module\n  {_EMIT}\n"
        "  (func $f)\n"
        '  (func (export "_start")\n'
        f"    (call $emit (i32.const {token:#x}))\n"
        "    (call $f)))\n"
    ).encode()


def _function(parameters: int, own: int, body: str) -> str:
    kinds = f"(param {'i64 ' * parameters}) (local {'i64 ' * own})"
    return f'(func $f {kinds} {body}) (func (export "_start"))'


def _module(text: str) -> bytes:
    return bytes(wat2wasm(f"(module {text})"))
