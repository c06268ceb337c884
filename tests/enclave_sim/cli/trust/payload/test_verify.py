"""`enclave-sim payload verify`: the checks of the boot, and its virtual time."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import payloads
from enclave_sim.payload.artefact import attach
from enclave_sim.payload.keys import SigningKey, TrustAnchor, development_key
from enclave_sim.payload.signature import sign, strip
from enclave_sim.payload.wasm.sections import custom_section
from tests.enclave_sim.cli.trust.payload.payload_command import run


def test_verify_accepts_a_module_of_the_development_key(directory: Path) -> None:
    outcome = run("verify", directory / "beacon.wasm")
    assert outcome.code == 0
    assert "accepted, signed by development (development key)" in outcome.output


def test_verify_accepts_a_module_of_a_given_anchor_in_production(directory: Path) -> None:
    run("sign", directory / "hello.wat", "--key", directory / "alice.key.json")
    path, anchor = directory / "hello.wasm", directory / "alice.anchor.json"
    outcome = run("verify", path, "--trust-anchor", anchor, "--production", "--json")
    answer = json.loads(outcome.output)
    assert outcome.code == 0
    assert (answer["accepted"], answer["anchor"], answer["development"]) == (True, "alice", False)
    assert answer["artefact"] is False
    assert run("verify", path).code == 3


@pytest.mark.parametrize(
    ("spoil", "options", "check"),
    [
        (lambda data: data[:-1], [], "NOT_WASM"),
        (strip, [], "UNSIGNED"),
        (lambda data: data[:40], [], "MALFORMED_SIGNATURE"),
        (lambda data: data[:-1] + b"\0", [], "BAD_ED25519"),
        (lambda data: data, ["--production"], "DEVELOPMENT_KEY"),
        (lambda data: sign(data, SigningKey("x", bytes(32), bytes(32), development=False)), [], "UNKNOWN_KEY"),
        (
            lambda data: sign(strip(data) + custom_section("aether.aot", bytes(99)), development_key()),
            [],
            "ARTEFACT_MISMATCH",
        ),
    ],
)
def test_verify_rejects_with_code_3_and_names_the_check(
    directory: Path, spoil: Callable[[bytes], bytes], options: list[str], check: str
) -> None:
    path = directory / "beacon.wasm"
    path.write_bytes(spoil(path.read_bytes()))
    outcome = run("verify", path, *options)
    assert (outcome.code, outcome.output) == (3, "")
    assert f"beacon.wasm: payload rejected ({check}): " in outcome.error
    assert outcome.error.count("\n") == 1

    outcome = run("verify", path, "--json", *options)
    answer = json.loads(outcome.output)
    assert (outcome.code, answer["accepted"], answer["check"]) == (3, False, check)


OUTSIDE = {
    "the module needs bulk-memory": '(memory 1) (data "passive") (func (export "_start"))',
    "the module needs threads": '(memory 1 1 shared) (func (export "_start"))',
    "exports no function _start": '(func (export "main"))',
    "import env.abort is outside": '(import "env" "abort" (func)) (func (export "_start"))',
    "the memory has 65 pages": '(memory 65) (func (export "_start"))',
    "has a start section": '(func $f) (start $f) (func (export "_start"))',
}


@pytest.mark.parametrize("words", OUTSIDE)
def test_verify_makes_the_checks_of_the_profile_as_the_boot_does(directory: Path, words: str) -> None:
    from enclave_sim import Enclave

    (directory / "bad.wat").write_text(f"(module {OUTSIDE[words]})")
    assert run("sign", directory / "bad.wat", "--key", directory / "alice.key.json").code == 0
    anchor = directory / "alice.anchor.json"
    outcome = run("verify", directory / "bad.wasm", "--trust-anchor", anchor)
    assert (outcome.code, outcome.output, outcome.error.count("\n")) == (3, "", 1)
    assert words in outcome.error
    booted = Enclave(directory / "bad.wasm", trust_anchors=[TrustAnchor.load(anchor)]).run()
    assert f"{booted.detail.replace(':', '):', 1)}\n".endswith(outcome.error.partition("(")[2])


def test_verify_allows_the_features_that_the_run_will_allow(directory: Path) -> None:
    (directory / "bulk.wat").write_text('(module (memory 1) (data "passive") (func (export "_start")))')
    assert run("sign", directory / "bulk.wat", "--key", directory / "alice.key.json").code == 0
    command = ("verify", directory / "bulk.wasm", "--trust-anchor", directory / "alice.anchor.json")
    assert [run(*command).code, run(*command, "--feature", "bulk-memory").code] == [3, 0]
    assert "unknown WebAssembly feature 'bulk'" in run(*command, "--feature", "bulk").error


def test_verify_refuses_code_of_another_engine_as_the_boot_does(directory: Path) -> None:
    path = directory / "aot.wasm"
    path.write_bytes(attach(payloads.read("beacon"), b"F" * 32, b"code", development_key()))
    outcome = run("verify", path)
    assert (outcome.code, "ARTEFACT_FOREIGN" in outcome.error) == (3, True)
    assert run("compile", directory / "beacon.wasm", "--key", directory / "alice.key.json", "-o", path).code == 0
    accepted = run("verify", path, "--trust-anchor", directory / "alice.anchor.json")
    assert (accepted.code, "0.000 ms to compile" in accepted.output) == (0, True)


def test_verify_tells_the_virtual_time_that_the_boot_takes(directory: Path) -> None:
    from enclave_sim import Enclave, events

    facts = json.loads(run("verify", directory / "beacon.wasm", "--json").output)
    enclave = Enclave("beacon")
    enclave.run()
    assert enclave.recording is not None
    recording = enclave.recording
    (measured,) = recording.of_kind(events.PayloadMeasured)
    (verified,), (compiled,) = (recording.of_kind(kind) for kind in (events.PayloadVerified, events.PayloadCompiled))
    assert facts["verify_ns"] == 10 * measured.size
    assert facts["compile_ns"] == 100 * len(strip((directory / "beacon.wasm").read_bytes()))
    assert facts["compile_ns"] <= compiled.at_ns - verified.at_ns < facts["compile_ns"] + 5_000
    assert f"{facts['verify_ns'] / 1e6:.3f} ms to verify" in run("verify", directory / "beacon.wasm").output


def test_verify_tells_of_debug_information_that_the_boot_verifies_for_nothing(directory: Path) -> None:
    plain = strip(payloads.read("beacon"))
    sizes = [b"x" * 1000, b"y" * 500]
    debug = [custom_section(name, data) for name, data in zip((".debug_info", ".debug_str"), sizes, strict=True)]
    path = directory / "debug.wasm"
    path.write_bytes(sign(plain + b"".join(debug), development_key()))
    size = sum(map(len, debug))
    assert (
        f"{size} bytes are debug information, which nothing reads; strip it before you sign"
        in run("verify", path).output
    )
    assert json.loads(run("verify", path, "--json").output)["debug_bytes"] == size
    assert "debug information" not in run("verify", directory / "beacon.wasm").output


def test_verify_says_what_does_not_fit_before_the_boot_says_it(directory: Path) -> None:
    path = directory / "large.wasm"
    path.write_bytes(sign(strip(payloads.read("beacon")) + custom_section("big", bytes(2 << 20)), development_key()))
    outcome = run("verify", path)
    assert (outcome.code, "do not fit the staging area of 2097152 bytes" in outcome.error) == (2, True)
