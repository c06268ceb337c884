"""The judge's modules, which a validator must refuse or accept, and the one from which a student begins."""

from wasmtime import wat2wasm

_STATUS = '(import "aether" "get_status" (func $status (result i32)))'
_EMIT = '(import "aether" "emit_signal" (func $emit (param i32)))'
_IN_START = 2
_IMPORTS = ("", _EMIT, _EMIT + _STATUS, _STATUS + _EMIT, _STATUS)
"""A validator may not look at a module's imports to tell who asks."""


def refused(number: int) -> list[bytes]:
    """Return modules that use a local which the function does not have; the number varies them."""
    return [_numbered(number, at, place, is_right=False) for at, place in enumerate(_PLACES)]


def twins(number: int) -> list[bytes]:
    """Return the same modules with the index of a local that the function has."""
    return [_numbered(number, at, place, is_right=True) for at, place in enumerate(_PLACES)]


_PLACES = (
    "(drop (local.get {0}))",
    "(drop (local.get {0}))",
    "(drop (local.get {0}))",
    "(local.set {0} (KIND.const 7))",
    "(block (local.set {0} (KIND.const 7)))",
    "(local.set {0} (KIND.const 7))",
    "(if (i32.const 1) (then) (else (drop (local.tee {0} (KIND.const 7))) (local.set {0} (KIND.const 7))))",
    "(return) (local.set {0} (KIND.const 7))",
    "(block (drop (local.get {0})))",
    "(return) (drop (local.get {0}))",
)
"""Instructions that use a local: on their own, in blocks, and where they are not executed. Each of the imports has one
that reads and one that writes, whatever the number."""


def _numbered(number: int, at: int, place: str, *, is_right: bool) -> bytes:
    is_bare, where = at == number % len(_PLACES), (number + at) % 3
    arguments = 0 if is_bare or where == _IN_START else number // 7 % 5
    own = 0 if is_bare else (number + at) % 4
    own += is_right and own + arguments == 0  # some have no local at all, but these must
    first = own + arguments
    beyond = (
        first,
        first + 1 + number // 35 % 100_000,
        0xFFFF_FFFF,
        first,
        first,
        0x8000_0000,
        first,
        first,
        first,
        first,
    )
    use = place.format(number % first if is_right else beyond[at])
    kind = ("i64", "i32", "f64")[(number + at) // 4 % 3]
    user = f"(param {f'{kind} ' * arguments}) (local {f'{kind} ' * own}) {use.replace('KIND', kind)}"
    call = f"(call $f {f'({kind}.const 1)' * arguments})"
    functions = (
        f'(func $f {user}) (func (export "_start"))',
        f'(func (export "_start") {call}) (func $f {user})',
        f'(func $f (local i64) (local.set 0 (i64.const 1))) (func (export "_start") {user})',
    )
    return _module(_IMPORTS[(number + at) % len(_IMPORTS)] + functions[where])


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


def _module(text: str) -> bytes:
    return bytes(wat2wasm(f"(module {text})"))
