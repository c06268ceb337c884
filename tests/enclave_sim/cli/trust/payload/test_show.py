"""`enclave-sim payload show`: the contents of any module, also of a bad one."""

import json
from pathlib import Path

import pytest

import payloads
from enclave_sim.payload.artefact import attach
from enclave_sim.payload.keys import TrustAnchor, development_anchor, development_key
from enclave_sim.payload.signature import strip
from enclave_sim.payload.wasm.sections import custom_section
from tests.enclave_sim.cli.trust.payload.payload_command import run


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
    assert (
        "is text, not a WebAssembly module; compile and sign it first (enclave-sim payload sign)"
        in run(command, "hello.wat").error
    )


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
