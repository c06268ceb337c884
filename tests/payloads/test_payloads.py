"""The sample payloads: built from their sources, signed, within the guest contract, and doing what they promise.

Each runs on plain wasmtime with stub imports: what a guest does must not depend on the emulator around it.
"""

import hashlib
import importlib.resources
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime
from wasmtime import _ffi

import payloads
from enclave_sim.payload.keys import development_anchor
from enclave_sim.payload.signature import strip, verify
from enclave_sim.payload.wasm.sections import sections
from payloads import build

NAMES = (
    *("abyss", "beacon", "counter", "digest", "divider"),
    *("greedy", "mismatch", "shredder", "spinner", "trespasser"),
)
STATUS = 0x9F
ALLOWED_IMPORTS = {
    "get_status": ([], ["i32"]),
    "emit_signal": (["i32"], []),
    "shred_self": ([], []),
}


class Shredded(Exception):  # noqa: N818
    """Raised by the stub of `shred_self`, which never returns to its caller."""


def never_returns() -> None:
    raise Shredded


def mvp() -> wasmtime.Config:
    """WebAssembly 1.0 and sign extension, nothing else that can be switched."""
    config = wasmtime.Config()
    # On by default, without a Python property, and without it reference types cannot be turned off.
    _ffi.wasmtime_config_wasm_component_model_async_set(config.ptr(), False)
    config.wasm_threads = False
    config.wasm_gc = False
    config.wasm_function_references = False
    config.wasm_relaxed_simd = False
    config.wasm_simd = False
    config.wasm_bulk_memory = False
    config.wasm_reference_types = False
    config.wasm_multi_value = False
    config.wasm_multi_memory = False
    config.wasm_memory64 = False
    config.wasm_tail_call = False
    config.wasm_exceptions = False
    return config


@pytest.fixture(scope="module")
def engine() -> wasmtime.Engine:
    return wasmtime.Engine(mvp())


class Guest:
    """A fresh instance of a payload, with the signals that it emits."""

    def __init__(self, engine: wasmtime.Engine, name: str, shred_self: Callable[[], None] = never_returns) -> None:
        self.signals: list[int] = []
        self._store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, strip(payloads.read(name)))
        # Memory is fixed at its declared minimum, as in the enclave.
        self._store.set_limits(memory_size=memory_pages(strip(payloads.read(name))) * 65536)
        i32 = wasmtime.ValType.i32()
        linker = wasmtime.Linker(engine)
        linker.define_func("aether", "get_status", wasmtime.FuncType([], [i32]), lambda: STATUS)
        linker.define_func("aether", "emit_signal", wasmtime.FuncType([i32], []), self._emit)
        linker.define_func("aether", "shred_self", wasmtime.FuncType([], []), shred_self)
        self._instance = linker.instantiate(self._store, module)

    def _emit(self, value: int) -> None:
        self.signals.append(value & 0xFFFFFFFF)

    def start(self) -> None:
        start = self._instance.exports(self._store)["_start"]
        assert isinstance(start, wasmtime.Func)
        start(self._store)


def memory_pages(module: bytes) -> int:
    """Return the declared minimum; every module here has a plain, small memory or none."""
    payload = next((section.payload for section in sections(module) if section.id == 5), b"\1\0\0")
    assert payload[:2] == b"\1\0"
    assert len(payload) == 3
    return payload[2]


def type_of(function: object) -> tuple[list[str], list[str]]:
    assert isinstance(function, wasmtime.FuncType)
    return [str(each) for each in function.params], [str(each) for each in function.results]


# The files.


def test_these_are_the_payloads() -> None:
    assert payloads.names() == NAMES
    assert tuple(path.stem for path in build.sources()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_module_is_what_its_source_builds(name: str) -> None:
    if payloads.source(name).startswith("/*"):
        pytest.importorskip("ziglang")
    (source,) = (path for path in build.sources() if path.stem == name)
    assert strip(payloads.read(name)) == build.compile_source(source)


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_module_is_signed_with_the_development_key(name: str) -> None:
    assert verify(payloads.read(name), [development_anchor()]).anchor.development


def test_the_committed_key_files_are_those_the_build_derives() -> None:
    key = build.development_key()
    assert payloads.development_key_text().encode() == key.to_json()
    assert payloads.development_anchor_text().encode() == key.anchor().to_json()


@pytest.mark.slow
def test_building_twice_changes_nothing_and_repairs_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.wasm").write_bytes(payloads.read(name))
    for name in payloads.flat_names():
        (tmp_path / f"{name}.bin").write_bytes(payloads.read_flat(name))
    shutil.copytree(build.KEYS, tmp_path / "keys")
    monkeypatch.setattr(build, "compile_source", lambda source: strip(payloads.read(source.stem)))
    assert build.build(tmp_path) == []
    for name, spoilt in (("beacon", b""), ("counter", payloads.read("beacon"))):
        (tmp_path / f"{name}.wasm").write_bytes(spoilt)
    (tmp_path / "digest.wasm").unlink()
    (tmp_path / "stray.bin").write_bytes(payloads.read_flat("runner"))
    (tmp_path / "keys" / "development.anchor.json").unlink()
    assert sorted(path.name for path in build.build(tmp_path)) == [
        *("beacon.wasm", "counter.wasm", "development.anchor.json", "digest.wasm", "stray.bin")
    ]
    assert build.build(tmp_path) == []


def test_a_name_which_is_not_a_payload_is_refused_with_the_names_there_are() -> None:
    for function in (payloads.read, payloads.source):
        with pytest.raises(LookupError, match="no payload is called 'nonsense'; there are abyss, beacon"):
            function("nonsense")
        with pytest.raises(LookupError):
            function("../README")


def test_no_module_holds_a_path_of_the_computer_that_built_it() -> None:
    here = importlib.resources.files("payloads")
    for name in NAMES:
        assert str(here).encode() not in payloads.read(name)


# The guest contract.


@pytest.mark.parametrize("name", NAMES)
def test_a_payload_keeps_to_the_guest_contract(name: str, engine: wasmtime.Engine) -> None:
    module = wasmtime.Module(engine, payloads.read(name))
    for each in module.imports:
        assert each.module == "aether"
        assert type_of(each.type) == ALLOWED_IMPORTS[str(each.name)]
    functions = {each.name: each.type for each in module.exports if isinstance(each.type, wasmtime.FuncType)}
    assert list(functions) == ["_start"]
    assert type_of(functions["_start"]) == ([], [])
    assert memory_pages(strip(payloads.read(name))) <= 64


# The behaviour of each payload.


def lcg(steps: int, x: int) -> int:
    """Return x after `steps` rounds of x * 1664525 + 1013904223 modulo 2**32, by repeated squaring."""
    factor, term = 1664525, 1013904223
    while steps:
        if steps & 1:
            x = (factor * x + term) % 2**32
        factor, term, steps = factor * factor % 2**32, (factor + 1) * term % 2**32, steps >> 1
    return x


def words(digest: bytes) -> list[int]:
    return [int.from_bytes(digest[at : at + 4], "big") for at in range(0, 32, 4)]


@pytest.mark.parametrize(
    ("name", "signals"),
    [
        ("beacon", [STATUS]),
        ("counter", [1, 1]),
        ("spinner", [lcg(100_000_000, 1)]),
        ("greedy", [2, *[0xFFFFFFFF] * 5, 2]),
        (
            "digest",
            words(hashlib.sha256(b"abc").digest()) + words(hashlib.sha256(b"a" * 10_000).digest()),
        ),
    ],
)
def test_a_well_behaved_payload_emits_what_it_promises_and_returns(
    name: str, signals: list[int], engine: wasmtime.Engine
) -> None:
    guest = Guest(engine, name)
    guest.start()
    assert guest.signals == signals


@pytest.mark.parametrize(
    ("name", "signals", "trap"),
    [
        ("trespasser", [0x5A], wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS),
        ("divider", [1], wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO),
        ("abyss", [1], wasmtime.TrapCode.STACK_OVERFLOW),
        ("mismatch", [42], wasmtime.TrapCode.BAD_SIGNATURE),
    ],
)
def test_a_faulty_payload_traps_as_it_promises(
    name: str, signals: list[int], trap: wasmtime.TrapCode, engine: wasmtime.Engine
) -> None:
    guest = Guest(engine, name)
    with pytest.raises(wasmtime.Trap) as caught:
        guest.start()
    assert caught.value.trap_code is trap
    assert guest.signals == signals


def test_counter_counts_in_a_guest_that_is_not_replaced(engine: wasmtime.Engine) -> None:
    guest = Guest(engine, "counter")
    guest.start()
    guest.start()
    assert guest.signals == [1, 1, 2, 2]


def test_shredder_emits_one_and_asks_for_destruction(engine: wasmtime.Engine) -> None:
    guest = Guest(engine, "shredder")
    with pytest.raises(Shredded):
        guest.start()
    assert guest.signals == [1]


def test_shredder_traps_if_it_survives(engine: wasmtime.Engine) -> None:
    guest = Guest(engine, "shredder", shred_self=lambda: None)
    with pytest.raises(wasmtime.Trap) as caught:
        guest.start()
    assert caught.value.trap_code is wasmtime.TrapCode.UNREACHABLE


def test_spinners_source_names_its_result() -> None:
    assert f"0x{lcg(100_000_000, 1):08X}" in payloads.source("spinner")


def test_every_source_says_what_to_expect() -> None:
    for name in NAMES:
        text = payloads.source(name)
        assert f" {name}: " in text
        assert " Expected: " in text
