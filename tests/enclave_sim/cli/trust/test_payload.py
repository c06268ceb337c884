"""`enclave-sim payload`: files, output and exit codes."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import payloads
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.memory_map import region
from enclave_sim.payload.artefact import Artefact, attach, split
from enclave_sim.payload.keys import SigningKey, TrustAnchor, development_anchor, development_key
from enclave_sim.payload.signature import sign, strip, verify
from enclave_sim.payload.wasm.sections import custom_section
from tests.enclave_sim.cli.command import Ended, command

ENGINE_MODULE = "enclave_sim.enclave.engine.wasmtime_engine"
WAT = '(module (import "aether" "shred_self" (func)) (memory 2 3) (func (export "_start") (call 0)))'


def run(*arguments: str | Path) -> Ended:
    return command("payload", *arguments)


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


# keygen


@pytest.mark.parametrize("development", [True, False])
def test_keygen_writes_a_key_and_its_anchor(tmp_path: Path, development: bool) -> None:
    outcome = run("keygen", "bob", "--directory", tmp_path, *(["--development"] if development else []))
    assert outcome.code == 0
    key = SigningKey.load(tmp_path / "bob.key.json")
    assert key.anchor() == TrustAnchor.load(tmp_path / "bob.anchor.json")
    assert key.development is development
    assert key.anchor().ml_dsa_65_key_id.hex() in outcome.output
    assert key.ed25519_seed.hex() not in outcome.output
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("existing", ["bob.key.json", "bob.anchor.json"])
def test_keygen_overwrites_nothing_and_leaves_nothing_half_done(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("precious")
    outcome = run("keygen", "bob", "--directory", tmp_path)
    assert (outcome.code, "exists already" in outcome.error) == (2, True)
    assert os.listdir(tmp_path) == [existing]
    assert (tmp_path / existing).read_text() == "precious"


@pytest.mark.parametrize("name", ["../bob", "", "a b"])
def test_keygen_refuses_a_name_which_is_not_one(tmp_path: Path, name: str) -> None:
    assert run("keygen", "--directory", tmp_path, "--", name).code == 2
    assert not os.listdir(tmp_path)


def test_keygen_makes_the_directory(tmp_path: Path) -> None:
    assert run("keygen", "bob", "--directory", tmp_path / "some" / "keys").code == 0
    assert sorted(os.listdir(tmp_path / "some" / "keys")) == ["bob.anchor.json", "bob.key.json"]


def test_keygen_into_what_is_not_a_directory_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for directory in ("file", "file/keys"):
        outcome = run("keygen", "bob", "--directory", tmp_path / directory)
        assert (outcome.code, f"cannot write to {tmp_path / directory}: " in outcome.error) == (2, True)
    assert (tmp_path / "file").read_text() == "precious"


def test_keygen_with_a_bad_name_makes_no_directory(tmp_path: Path) -> None:
    assert run("keygen", "--directory", tmp_path / "keys", "--", "../bob").code == 2
    assert not (tmp_path / "keys").exists()


# sign


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


def test_sign_refuses_to_bless_compiled_code(directory: Path) -> None:
    path = directory / "code.wasm"
    path.write_bytes(attach(payloads.read("beacon"), bytes(32), b"evil", development_key()))
    outcome = run("sign", path, "--key", directory / "alice.key.json")
    assert (outcome.code, "compiled code" in outcome.error) == (2, True)


def test_sign_says_where_the_text_is_wrong(directory: Path) -> None:
    (directory / "bad.wat").write_text("(module (memry 1))")
    outcome = run("sign", directory / "bad.wat", "--key", directory / "alice.key.json")
    assert outcome.code == 2
    assert "bad.wat: is not WebAssembly text: expected valid module field" in outcome.error
    assert not (directory / "bad.wasm").exists()


def test_sign_into_a_missing_directory_is_a_usage_error(directory: Path) -> None:
    goal = directory / "none" / "x.wasm"
    outcome = run("sign", directory / "beacon.wasm", "--key", directory / "alice.key.json", "--output", goal)
    assert (outcome.code, "cannot write" in outcome.error) == (2, True)


# verify


def test_verify_accepts_a_module_of_the_development_key(directory: Path) -> None:
    outcome = run("verify", directory / "beacon.wasm")
    assert outcome.code == 0
    assert "accepted, signed by development (development key)" in outcome.output


def test_verify_accepts_a_module_of_a_given_anchor_in_production(directory: Path) -> None:
    run("sign", directory / "hello.wat", "--key", directory / "alice.key.json")
    path, anchor = directory / "hello.wasm", directory / "alice.anchor.json"
    outcome = run("verify", path, "--anchor", anchor, "--production", "--json")
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
    outcome = run("verify", directory / "bad.wasm", "--anchor", anchor)
    assert (outcome.code, outcome.output, outcome.error.count("\n")) == (3, "", 1)
    assert words in outcome.error
    booted = Enclave(directory / "bad.wasm", trust_anchors=[TrustAnchor.load(anchor)]).run()
    assert f"{booted.detail.replace(':', '):', 1)}\n".endswith(outcome.error.partition("(")[2])


def test_verify_allows_the_features_that_the_run_will_allow(directory: Path) -> None:
    (directory / "bulk.wat").write_text('(module (memory 1) (data "passive") (func (export "_start")))')
    assert run("sign", directory / "bulk.wat", "--key", directory / "alice.key.json").code == 0
    command = ("verify", directory / "bulk.wasm", "--anchor", directory / "alice.anchor.json")
    assert [run(*command).code, run(*command, "--feature", "bulk-memory").code] == [3, 0]
    assert "unknown WebAssembly feature 'bulk'" in run(*command, "--feature", "bulk").error


def test_verify_refuses_code_of_another_engine_as_the_boot_does(directory: Path) -> None:
    path = directory / "aot.wasm"
    path.write_bytes(attach(payloads.read("beacon"), b"F" * 32, b"code", development_key()))
    outcome = run("verify", path)
    assert (outcome.code, "ARTEFACT_FOREIGN" in outcome.error) == (3, True)
    assert run("compile", directory / "beacon.wasm", "--key", directory / "alice.key.json", "-o", path).code == 0
    accepted = run("verify", path, "--anchor", directory / "alice.anchor.json")
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


# show


def test_show_lists_what_a_signed_module_is_made_of(directory: Path) -> None:
    run("sign", directory / "hello.wat", "--key", directory / "alice.key.json")
    outcome = run("show", directory / "hello.wasm")
    anchor = TrustAnchor.load(directory / "alice.anchor.json")
    assert outcome.code == 0
    for text in (
        "custom 'signature'",
        "'aether' 'shred_self' (func)",
        "'_start' (func)",
        "2 pages of 64 KiB, at most 3",
        f"Ed25519, key id {anchor.ed25519_key_id.hex()}",
        f"ML-DSA-65, key id {anchor.ml_dsa_65_key_id.hex()}",
    ):
        assert text in outcome.output


def test_show_as_json_has_the_same_facts(directory: Path) -> None:
    facts = json.loads(run("show", directory / "beacon.wasm", "--json").output)
    assert facts["bytes"] == (directory / "beacon.wasm").stat().st_size
    assert facts["sections"][0]["name"] == "signature"
    assert facts["imports"][1] == {"module": "aether", "name": "emit_signal", "type": "(func (param i32))"}
    assert facts["exports"] == [{"name": "_start", "type": "(func)"}]
    assert facts["memory"] is None
    assert facts["content_sha256"] == facts["stated_sha256"]
    assert facts["signatures"][0] == {
        "algorithm": "Ed25519",
        "key_id": development_anchor().ed25519_key_id.hex(),
    }
    assert (facts["artefact"], facts["defects"]) == (None, [])


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_built_in_payload_is_named_as_for_run(
    command: str, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run(command, "beacon", "--json")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output == run(command, directory / "beacon.wasm", "--json").output
    mistaken = run(command, "becon")
    assert mistaken.code == 2
    assert "cannot read becon: No such file or directory; did you mean beacon?" in mistaken.error
    assert "forger is a flat x86-64 guest" in run(command, "forger").error
    (tmp_path / "hello.wat").write_text("(module)")
    assert "translate and sign it first: `enclave-sim payload sign`" in run(command, "hello.wat").error


def test_show_tells_of_an_artefact(directory: Path) -> None:
    path = directory / "aot.wasm"
    path.write_bytes(attach(payloads.read("beacon"), b"F" * 32, b"code", development_key()))
    assert json.loads(run("show", path, "--json").output)["artefact"] == {"fingerprint": "46" * 32, "bytes": 4}
    assert f"4 bytes for engine {'46' * 32}" in run("show", path).output


def test_show_shows_an_unsigned_and_a_spoilt_module_all_the_same(directory: Path) -> None:
    path = directory / "beacon.wasm"
    signed = path.read_bytes()
    path.write_bytes(strip(signed))
    facts = json.loads(run("show", path, "--json").output)
    assert (facts["signatures"], facts["stated_sha256"], facts["defects"]) == ([], None, [])

    path.write_bytes(signed[:-1] + b"\0")
    outcome = run("show", path)
    assert (outcome.code, "not what was signed" in outcome.output) == (0, True)

    path.write_bytes(strip(signed) + custom_section("signature", b"") + b"\x0c\x01\x05")
    defects = json.loads(run("show", path, "--json").output)["defects"]
    assert any("not a valid module" in defect for defect in defects)
    assert any("MALFORMED_SIGNATURE" in defect for defect in defects)


def test_show_lets_no_control_character_or_markup_of_the_file_through(directory: Path) -> None:
    path = directory / "x.wasm"
    path.write_bytes(strip(payloads.read("beacon")) + custom_section("\x1b[31m[bold]\r\u202e", b""))
    odd = directory / "\x1b[31m[red]\r.wasm"
    odd.write_bytes(path.read_bytes())
    for each in (path, odd):
        output = run("show", each).output
        assert "[bold]" in output
        assert not {"\x1b", "\r", "\u202e"} & set(output)


# compile


def test_compile_verifies_then_attaches_code_for_the_plain_module(directory: Path, fake_engine: list[bytes]) -> None:
    outcome = run("compile", directory / "beacon.wasm", "--key", directory / "alice.key.json")
    assert (outcome.code, outcome.error) == (0, "")
    result = (directory / "beacon.aot.wasm").read_bytes()
    plain = strip(payloads.read("beacon"))
    assert fake_engine == [plain]
    content = verify(result, [TrustAnchor.load(directory / "alice.anchor.json")]).content
    assert split(content) == (plain, Artefact(b"F" * 32, plain[::-1]))


def test_compile_rejects_what_verify_rejects_and_writes_nothing(directory: Path, fake_engine: list[bytes]) -> None:
    run("sign", directory / "hello.wat", "--key", directory / "alice.key.json")
    path, key = directory / "hello.wasm", directory / "alice.key.json"
    outcome = run("compile", path, "--key", key)
    assert (outcome.code, "UNKNOWN_KEY" in outcome.error, fake_engine) == (3, True, [])
    assert outcome.error.endswith("; add the signer's with --anchor NAME.anchor.json\n")
    assert not (directory / "hello.aot.wasm").exists()
    outcome = run("compile", path, "--key", key, "--anchor", directory / "alice.anchor.json", "-o", path)
    assert outcome.code == 0
    assert json.loads(run("show", path, "--json").output)["artefact"] is not None


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
    outcome = run("compile", directory / "hello.wasm", "--key", key, "--anchor", anchor)
    assert (outcome.code, "payload rejected (PROFILE)" in outcome.error) == (3, True)
    assert not (directory / "hello.aot.wasm").exists()


def test_compile_refuses_a_feature_that_does_not_exist(directory: Path, fake_engine: list[bytes]) -> None:
    path, key = directory / "beacon.wasm", directory / "alice.key.json"
    outcome = run("compile", path, "--key", key, "--feature", "telepathy")
    assert (outcome.code, "telepathy" in outcome.error, fake_engine) == (2, True, [])


# Invalid files: exit code 2, one line, the same everywhere.


@pytest.mark.parametrize("command", ["sign", "verify", "show", "compile"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"\x7fELF" + bytes(60), "is not a WebAssembly module"),
        (b"\0asm\x0d\0\1\0", "is not a WebAssembly module"),
    ],
)
def test_a_file_which_is_not_a_module_is_a_usage_error(
    directory: Path, command: str, content: bytes | None, reason: str
) -> None:
    path = directory / "x.wasm"
    if content is not None:
        path.write_bytes(content)
    options: list[str | Path] = ["--key", directory / "alice.key.json"] if command in {"sign", "compile"} else []
    outcome = run(command, path, *options)
    assert (outcome.code, outcome.output) == (2, "")
    assert f"{path}: " in outcome.error
    assert reason in outcome.error


@pytest.mark.parametrize("command", ["sign", "verify", "show", "compile"])
def test_a_directory_is_a_usage_error(directory: Path, command: str) -> None:
    options: list[str | Path] = ["--key", directory / "alice.key.json"] if command in {"sign", "compile"} else []
    outcome = run(command, directory, *options)
    assert (outcome.code, ": Is a directory" in outcome.error) == (2, True)


@pytest.mark.parametrize("command", ["sign", "show"])
def test_a_badly_framed_module_is_a_usage_error_where_nothing_is_verified(directory: Path, command: str) -> None:
    path = directory / "beacon.wasm"
    path.write_bytes(path.read_bytes()[:-1])
    options: list[str | Path] = ["--key", directory / "alice.key.json"] if command == "sign" else []
    outcome = run(command, path, *options)
    assert (outcome.code, "not a well-formed WebAssembly module" in outcome.error) == (2, True)


@pytest.mark.parametrize("command", ["sign", "compile"])
def test_an_unreadable_key_is_a_usage_error(directory: Path, command: str) -> None:
    for key in (directory / "none.key.json", directory / "alice.anchor.json", directory / "hello.wat"):
        outcome = run(command, directory / "beacon.wasm", "--key", key)
        assert (outcome.code, outcome.output) == (2, "")
        assert f"{key}: " in outcome.error


def test_an_unreadable_anchor_is_a_usage_error(directory: Path) -> None:
    outcome = run("verify", directory / "beacon.wasm", "--anchor", directory / "alice.key.json")
    assert (outcome.code, "format aether-trust-anchor/1" in outcome.error) == (2, True)


def test_a_missing_option_is_a_usage_error(directory: Path) -> None:
    assert run("sign", directory / "beacon.wasm").code == 2


@pytest.mark.parametrize("command", ["keygen", "sign", "verify", "show", "compile"])
def test_every_help_text_has_an_example(command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert f"Example: enclave-sim payload {command} " in " ".join(outcome.output.split())
