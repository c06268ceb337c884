"""Code compiled ahead of time runs like the module, and only on the engine that it was made for."""

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from wasmtime import wat2wasm

from enclave_sim.enclave.engine import wasmtime_settings
from enclave_sim.enclave.engine.profile import OPTIONAL, GuestProfile
from enclave_sim.enclave.engine.wasmtime_engine import compile_ahead, fingerprint
from enclave_sim.payload.errors import PayloadCheck, PayloadRejected

Make = Callable[..., Any]
PROFILE = GuestProfile(16 * 65536)
MODULE = bytes(
    wat2wasm("""(module (import "aether" "emit_signal" (func $emit (param i32))) (memory 1)
  (data (i32.const 0) "\\2a") (func (export "_start") (local $i i32)
    (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
    (call $emit (i32.load (i32.const 0))) (drop (i32.trunc_f32_s (f32.const 1e20)))))""")
)


def test_compiled_code_runs_as_the_module_does(bench: Make) -> None:
    mark, code = compile_ahead(MODULE, PROFILE)
    b = bench()
    runs = []
    for arguments in ((MODULE, None), (MODULE, code, mark)):
        assert b.engine.instantiate(b.engine.admit(*arguments)) == 65536
        runs.append(b.run([50] * 30))
    assert runs[0] == runs[1]
    assert len(runs[0]) > 10


@pytest.mark.slow
def test_code_is_the_same_in_every_process() -> None:
    script = (
        "import sys, hashlib; from enclave_sim.enclave.engine.wasmtime_engine import compile_ahead;"
        "from enclave_sim.enclave.engine.profile import GuestProfile;"
        "parts = compile_ahead(bytes.fromhex(sys.argv[1]), GuestProfile(1 << 20));"
        "print([hashlib.sha256(part).hexdigest() for part in parts])"
    )
    command = [sys.executable, "-c", script, MODULE.hex()]
    assert len({subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2)}) == 1


def foreign(b: Any, code: bytes, mark: bytes | None) -> str:
    with pytest.raises(PayloadRejected) as refused:
        b.engine.admit(MODULE, code, mark)
    assert refused.value.check is PayloadCheck.ARTEFACT_FOREIGN
    return refused.value.message


@pytest.mark.parametrize("mark", [None, b"", bytes(32)])
def test_a_foreign_fingerprint_is_refused_before_the_code_is_looked_at(
    bench: Make, mark: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wasmtime import Module

    def deserialize(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Module, "deserialize", deserialize)
    message = foreign(bench(), b"\x7fELF", mark)
    assert message == (
        "the artefact's code is not for this engine: it was compiled by another engine or for another processor; "
        "compile it again, or run the plain module"
    )


def test_code_that_relies_on_a_guard_is_refused_by_an_engine_without_one(bench: Make) -> None:
    mark, code = compile_ahead(MODULE, PROFILE)
    assert "another engine" in foreign(bench(guarded=False), code, mark)


def test_code_of_other_features_is_refused(bench: Make) -> None:
    mark, code = compile_ahead(MODULE, GuestProfile(PROFILE.max_heap_bytes, frozenset(["simd"])))
    assert "another engine" in foreign(bench(), code, mark)
    assert bench(features=["simd"]).engine.admit(MODULE, code, mark) == 0


def test_code_of_a_module_that_needs_a_feature_not_opted_in_is_refused_by_its_name(bench: Make) -> None:
    module = bytes(wat2wasm('(module (table 1 funcref) (func (export "_start") (drop (table.size))))'))
    mark, code = compile_ahead(module, GuestProfile(PROFILE.max_heap_bytes, frozenset(["reference-types"])))
    with pytest.raises(PayloadRejected, match="the module needs reference-types, which is off"):
        bench().engine.admit(module, code, mark)
    assert bench(features=["reference-types"]).engine.admit(module, code, mark) == 0


@pytest.mark.parametrize("spoilt", [MODULE[:-1], MODULE[:60], MODULE[:8] + b"\1\1\xff", b"junk"])
def test_code_of_a_module_that_is_not_valid_is_refused_in_one_line(bench: Make, spoilt: bytes) -> None:
    """The signer vouches for the code; the module's properties are read from the module."""
    mark, code = compile_ahead(MODULE, PROFILE)
    with pytest.raises(PayloadRejected) as refused:
        bench().engine.admit(spoilt, code, mark)
    assert refused.value.check is PayloadCheck.PROFILE
    assert "\n" not in refused.value.message


def test_what_wasmtime_does_not_read_is_refused_in_one_line(bench: Make) -> None:
    for code in (b"", b"junk", compile_ahead(MODULE, PROFILE)[1][:-4096]):
        assert "\n" not in foreign(bench(), code, fingerprint(PROFILE))


def test_ahead_of_time_the_profile_is_checked_as_well(bench: Make) -> None:
    with pytest.raises(PayloadRejected, match="exports no function _start"):
        compile_ahead(bytes(wat2wasm("(module)")), PROFILE)
    with pytest.raises(PayloadRejected, match="the memory has 17 pages"):
        compile_ahead(bytes(wat2wasm('(module (memory 17) (func (export "_start")))')), PROFILE)
    with pytest.raises(PayloadRejected, match="needs simd"):
        compile_ahead(bytes(wat2wasm('(module (func (export "_start") (local v128)))')), PROFILE)
    mark, code = compile_ahead(MODULE, GuestProfile(1 << 30))
    small = bench(pages=1)
    assert small.engine.admit(MODULE, code, mark) == 0


def test_the_fingerprint_tells_engines_apart_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    same = {fingerprint(GuestProfile(size)) for size in (1 << 16, 1 << 20)}
    assert len(same) == 1
    assert len(same.pop()) == 32
    profiles = [GuestProfile(1 << 20, frozenset(f)) for f in ((), *([o] for o in OPTIONAL), OPTIONAL)]
    assert (
        len({fingerprint(p, check_bounds=check) for p in profiles for check in (True, False)}) == 4
    )  # with SIMD or without
    before = fingerprint(PROFILE)
    with monkeypatch.context() as patch:
        patch.setattr(platform, "machine", lambda: "another")
        assert fingerprint(PROFILE) != before
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda _: "50.0.9")
        assert fingerprint(PROFILE) != before
    with monkeypatch.context() as patch:
        patch.setitem(wasmtime_settings._SETTINGS, "cranelift_nan_canonicalization", False)
        assert fingerprint(PROFILE) != before
    assert fingerprint(PROFILE) == before
