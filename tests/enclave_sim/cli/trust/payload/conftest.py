"""Files for `enclave-sim payload`, and an engine that compiles nothing."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

import payloads
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.memory_map import region
from enclave_sim.payload.keys import SigningKey

ENGINE_MODULE = "enclave_sim.enclave.engine.wasmtime_engine"
WAT = '(module (import "aether" "shred_self" (func)) (memory 2 3) (func (export "_start") (call 0)))'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Holds alice's key and anchor, `beacon.wasm` (signed by development) and `hello.wat`."""
    key = SigningKey.generate("alice", development=False)
    key.save(tmp_path / "alice.key.json")
    key.anchor().save(tmp_path / "alice.anchor.json")
    (tmp_path / "beacon.wasm").write_bytes(payloads.read("beacon"))
    (tmp_path / "hello.wat").write_text(WAT)
    return tmp_path


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Install an engine whose code is the reversed module; returns the modules that it compiles."""
    asked: list[bytes] = []

    def compile_ahead(module: bytes, profile: GuestProfile) -> tuple[bytes, bytes]:
        assert profile.max_heap_bytes == region("heap").size
        asked.append(module)
        return b"F" * 32, module[::-1]

    engine = ModuleType(ENGINE_MODULE)
    engine.compile_ahead = compile_ahead  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, ENGINE_MODULE, engine)
    return asked
