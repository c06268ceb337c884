"""`enclave-sim payload sign`: modules and text, signed in place or elsewhere."""

import os
from pathlib import Path

import pytest

import payloads
from enclave_sim.payload.artefact import attach
from enclave_sim.payload.keys import TrustAnchor, development_key
from enclave_sim.payload.signature import strip, verify
from tests.enclave_sim.cli.command import assert_refused
from tests.enclave_sim.cli.trust.payload.payload_command import run


def test_sign_translates_text_and_puts_the_module_beside_it(directory: Path) -> None:
    outcome = run("sign", directory / "hello.wat", "--key", directory / "alice.key.json")
    assert (outcome.code, outcome.error) == (0, "")
    signed = (directory / "hello.wasm").read_bytes()
    assert verify(signed, [TrustAnchor.load(directory / "alice.anchor.json")], production=True)


def test_sign_replaces_a_signature_in_place(directory: Path) -> None:
    assert run("sign", directory / "beacon.wasm", "--key", directory / "alice.key.json").code == 0
    signed = (directory / "beacon.wasm").read_bytes()
    assert verify(signed, [TrustAnchor.load(directory / "alice.anchor.json")]).anchor.name == "alice"


def test_sign_writes_where_it_is_told_and_leaves_the_input_alone(directory: Path) -> None:
    before = (directory / "beacon.wasm").read_bytes()
    goal = directory / "out.wasm"
    assert run("sign", directory / "beacon.wasm", "--key", directory / "alice.key.json", "-o", goal).code == 0
    assert (directory / "beacon.wasm").read_bytes() == before
    assert strip(goal.read_bytes()) == strip(before)
    assert not [name for name in os.listdir(directory) if name.endswith(".tmp")]


@pytest.mark.parametrize(("output", "what"), [("alice.key.json", "secret key"), ("hello.wat", "source")])
def test_sign_never_replaces_the_key_or_the_source(directory: Path, output: str, what: str) -> None:
    goal = directory / "link"
    goal.symlink_to(directory / output)
    before = (directory / output).read_bytes()
    for each in (directory / output, goal):
        outcome = run("sign", directory / "hello.wat", "--key", directory / "alice.key.json", "-o", each)
        assert_refused(outcome, f"{each.name} is the {what} itself")
    assert (directory / output).read_bytes() == before


def test_sign_refuses_to_bless_compiled_code(directory: Path) -> None:
    path = directory / "code.wasm"
    path.write_bytes(attach(payloads.read("beacon"), bytes(32), b"evil", development_key()))
    outcome = run("sign", path, "--key", directory / "alice.key.json")
    assert (outcome.code, "compiled code" in outcome.error) == (2, True)


def test_sign_says_where_the_text_is_wrong(directory: Path) -> None:
    (directory / "bad.wat").write_text("(module (memry 1))")
    outcome = run("sign", directory / "bad.wat", "--key", directory / "alice.key.json")
    assert outcome.code == 2
    assert "bad.wat is not WebAssembly text: line 1, column 10: it cannot be understood" in outcome.error
    assert not (directory / "bad.wasm").exists()


def test_sign_into_a_missing_directory_is_a_usage_error(directory: Path) -> None:
    goal = directory / "none" / "x.wasm"
    outcome = run("sign", directory / "beacon.wasm", "--key", directory / "alice.key.json", "--output", goal)
    assert (outcome.code, "cannot write" in outcome.error) == (2, True)
