"""`enclave-sim payload compile`: compiled code attached to a verified module."""

import json
from pathlib import Path

import pytest

import payloads
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.memory_map import region
from enclave_sim.payload.artefact import Artefact, split
from enclave_sim.payload.keys import TrustAnchor
from enclave_sim.payload.signature import strip, verify
from tests.enclave_sim.cli.command import assert_refused
from tests.enclave_sim.cli.trust.payload.payload_command import run


def test_compile_verifies_then_attaches_code_for_the_plain_module(directory: Path, fake_engine: list[bytes]) -> None:
    outcome = run("compile", directory / "beacon.wasm", "--key", directory / "alice.key.json")
    assert (outcome.code, outcome.error) == (0, "")
    result = (directory / "beacon.aot.wasm").read_bytes()
    plain = strip(payloads.read("beacon"))
    assert fake_engine == [plain]
    content = verify(result, [TrustAnchor.load(directory / "alice.anchor.json")]).content
    assert split(content) == (plain, Artefact(b"F" * 32, plain[::-1]))


def test_compile_takes_a_built_in_name_as_verify_and_show_do(
    directory: Path, fake_engine: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    (directory / "beacon.wasm").unlink()
    outcome = run("compile", "beacon", "--key", directory / "alice.key.json")
    assert (outcome.code, outcome.error) == (0, "")
    assert (directory / "beacon.aot.wasm").is_file()
    assert fake_engine == [strip(payloads.read("beacon"))]


def test_compile_rejects_what_verify_rejects_and_writes_nothing(directory: Path, fake_engine: list[bytes]) -> None:
    run("sign", directory / "hello.wat", "--key", directory / "alice.key.json")
    path, key = directory / "hello.wasm", directory / "alice.key.json"
    outcome = run("compile", path, "--key", key)
    assert (outcome.code, "UNKNOWN_KEY" in outcome.error, fake_engine) == (3, True, [])
    assert outcome.error.endswith("; add the signer's with --trust-anchor NAME.anchor.json\n")
    assert not (directory / "hello.aot.wasm").exists()
    outcome = run("compile", path, "--key", key, "--trust-anchor", directory / "alice.anchor.json", "-o", path)
    assert outcome.code == 0
    assert json.loads(run("show", path, "--json").output)["artefact"] is not None


@pytest.mark.parametrize(("output", "what"), [("alice.key.json", "secret key"), ("alice.anchor.json", "trust anchor")])
def test_compile_never_replaces_a_key(directory: Path, fake_engine: list[bytes], output: str, what: str) -> None:
    goal, before = directory / output, (directory / output).read_bytes()
    keys = ("--key", directory / "alice.key.json", "--trust-anchor", directory / "alice.anchor.json")
    assert_refused(run("compile", directory / "beacon.wasm", *keys, "-o", goal), f"{output} is the {what} itself")
    assert (goal.read_bytes(), len(fake_engine)) == (before, 1)


def test_compile_with_the_real_engine_attaches_its_fingerprint(directory: Path) -> None:
    from enclave_sim.enclave.engine.wasmtime_engine import fingerprint

    outcome = run("compile", directory / "beacon.wasm", "--key", directory / "alice.key.json")
    assert outcome.code == 0
    _, compiled = split((directory / "beacon.aot.wasm").read_bytes())
    assert compiled is not None
    assert compiled.fingerprint == fingerprint(GuestProfile(region("heap").size))
    assert b"\x7fELF" in compiled.code[:16]


def test_compile_rejects_a_module_outside_the_guest_contract(directory: Path) -> None:
    (directory / "hello.wat").write_text('(module (import "wasi" "exit" (func)) (func (export "_start")))')
    key, anchor = directory / "alice.key.json", directory / "alice.anchor.json"
    run("sign", directory / "hello.wat", "--key", key)
    outcome = run("compile", directory / "hello.wasm", "--key", key, "--trust-anchor", anchor)
    assert (outcome.code, "payload rejected (PROFILE)" in outcome.error) == (3, True)
    assert not (directory / "hello.aot.wasm").exists()


def test_compile_refuses_a_feature_that_does_not_exist(directory: Path, fake_engine: list[bytes]) -> None:
    path, key = directory / "beacon.wasm", directory / "alice.key.json"
    outcome = run("compile", path, "--key", key, "--feature", "telepathy")
    assert (outcome.code, "telepathy" in outcome.error, fake_engine) == (2, True, [])
