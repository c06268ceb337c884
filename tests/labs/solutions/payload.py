"""The solution of lab `payload`, in WebAssembly text, signed with the commands of the page."""

import re

from tests.enclave_sim.cli.command import command
from tests.labs.solutions.solution import Files, Solution, Workplace, Wrong

SOURCE = """
(module
  (import "aether" "get_status" (func $get_status (result i32)))
  (import "aether" "emit_signal" (func $emit_signal (param i32)))
  (func (export "_start") (local $value i32) (local $left i32) (local $status i32)
    (local.set $status (call $get_status))
    (if (i32.and (local.get $status) (i32.const 0x80))
      (then
        (local.set $value (i32.const START))
        (local.set $left (i32.const COUNT))
        (loop $again
          (call $emit_signal (local.get $value))
          (local.set $value (i32.add (i32.mul (local.get $value) (i32.const FACTOR)) (i32.const ADDEND)))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br_if $again (local.get $left))))
      (else (call $emit_signal (i32.xor (local.get $status) (i32.const MASK)))))))
"""
NUMBERS = {
    "COUNT": r"emits (\d+) values",
    "START": r"first (0x[0-9a-f]+), and then",
    "FACTOR": r"times (\d+), plus",
    "ADDEND": r"plus (\d+)\.",
    "MASK": r"status word, XOR (0x[0-9a-f]+)\.",
}


def source(place: Workplace) -> str:
    text = SOURCE
    for name, pattern in NUMBERS.items():
        (number,) = re.findall(pattern, place.page)
        text = text.replace(name, number)
    return text


def key(place: Workplace) -> str:
    (name,) = re.findall(r"payload keygen (\S+)", place.page)
    return str(name)


def built(place: Workplace, text: str, name: str, *options: str) -> Files:
    directory = place.directory
    if not (directory / f"{name}.key.json").exists():
        assert command("payload", "keygen", name, "--directory", directory, *options).code == 0
    (directory / "payload.wat").write_text(text)
    signed = command("payload", "sign", directory / "payload.wat", "--key", directory / f"{name}.key.json")
    assert signed.code == 0, signed.error
    return {
        "payload.wasm": (directory / "payload.wasm").read_bytes(),
        "signer.anchor.json": (directory / f"{name}.anchor.json").read_bytes(),
    }


def solve(place: Workplace) -> Files:
    return built(place, source(place), key(place))


def edited(name: str, old: str, new: str, message: str) -> Wrong:
    def change(_files: Files, place: Workplace) -> Files:
        text = source(place)
        assert old in text
        return built(place, text.replace(old, new), key(place))

    return Wrong(name, change, message)


def unsigned(files: Files, place: Workplace) -> Files:
    from wasmtime import wat2wasm

    return {**files, "payload.wasm": bytes(wat2wasm(source(place)))}


def of_another(_files: Files, place: Workplace) -> Files:
    return built(place, source(place), "another")


def changed(files: Files, _place: Workplace) -> Files:
    module = bytearray(files["payload.wasm"])
    module[-3] ^= 1
    return {**files, "payload.wasm": bytes(module)}


def compiled(_files: Files, place: Workplace) -> Files:
    files = built(place, source(place), key(place))
    secret, anchor = place.directory / f"{key(place)}.key.json", place.directory / f"{key(place)}.anchor.json"
    module, goal = place.directory / "payload.wasm", place.directory / "payload.aot.wasm"
    done = command("payload", "compile", module, "--key", secret, "--trust-anchor", anchor, "-o", goal)
    assert done.code == 0, done.error
    return {**files, "payload.wasm": goal.read_bytes()}


_EMIT = "          (call $emit_signal (local.get $value))\n"
_NEXT = "(br_if $again (local.get $left))"
SOLUTION = Solution(
    solve,
    (
        Wrong("not signed", unsigned, "The module is not signed"),
        Wrong("another key", of_another, "is of another signer"),
        Wrong("changed after signing", changed, "was changed after it was signed"),
        Wrong("native code", compiled, "holds compiled code"),
        edited("every cycle the same", "(i32.const 0x80)", "(i32.const 1)", "emits the sequence in every cycle"),
        edited("one too many", _NEXT, "(br_if $again (i32.ge_s (local.get $left) (i32.const 0)))", "too many"),
        edited("OR for XOR", "i32.xor", "i32.or", "That is OR, not XOR"),
        edited("without an end", _NEXT, "(br $again)", "and then does not stop"),
    ),
)
