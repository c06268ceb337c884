"""The trial compilation: it answers for any module, and ends one whose compilation takes all memory or no end."""

import resource

import pytest
from wasmtime import wat2wasm

from enclave_sim.enclave.engine.trial_compilation import compiles_within_limits


def test_modules_that_the_compiler_accepts_or_refuses_are_within_limits() -> None:
    assert compiles_within_limits(bytes(wat2wasm('(module (func (export "_start")))')))
    assert compiles_within_limits(b"no module")


@pytest.mark.slow
def test_a_module_whose_compilation_takes_gigabytes_is_not() -> None:
    values = "i32 " * 500
    loops = "loop (type $many) " * 1000 + "i32.const 0 br_if 0 end " * 1000
    body = f"{'i32.const 1 ' * 500} {loops} {'drop ' * 500}"
    text = f"(module (type $many (func (param {values}) (result {values}))) (func {body}))"
    assert not compiles_within_limits(bytes(wat2wasm(text)))
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 4 << 20
