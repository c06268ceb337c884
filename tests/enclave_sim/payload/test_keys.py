"""Keys and anchors: exact files, never overwritten, refused with a reason if anything is wrong."""

import json
import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from enclave_sim.payload.errors import KeyFileError
from enclave_sim.payload.keys import SigningKey, TrustAnchor, development_anchor, development_key, key_id

KEY = SigningKey("alice", bytes(range(32)), bytes(range(32, 64)), development=False)


def test_key_and_anchor_files_give_back_what_was_written(tmp_path: Path) -> None:
    KEY.save(tmp_path / "alice.key.json")
    KEY.anchor().save(tmp_path / "alice.anchor.json")
    assert SigningKey.load(tmp_path / "alice.key.json") == KEY
    assert TrustAnchor.load(tmp_path / "alice.anchor.json") == KEY.anchor()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alice.anchor.json", "alice.key.json"]


def test_only_the_owner_can_read_a_key_file(tmp_path: Path) -> None:
    KEY.save(tmp_path / "alice.key.json")
    assert stat.S_IMODE((tmp_path / "alice.key.json").stat().st_mode) == 0o600


def test_an_existing_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "alice.key.json"
    path.write_text("precious")
    with pytest.raises(KeyFileError, match="exists already"):
        KEY.save(path)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["alice.key.json"]


def test_a_key_file_into_a_missing_directory_is_one_typed_error(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot write .*: No such file"):
        KEY.save(tmp_path / "missing" / "alice.key.json")


@pytest.mark.parametrize(("umask", "mode"), [(0, 0o666), (0o027, 0o640)])
def test_anybody_may_read_an_anchor_file_whom_the_umask_lets(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        KEY.anchor().save(tmp_path / "alice.anchor.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "alice.anchor.json").stat().st_mode) == mode


def test_an_existing_anchor_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "alice.anchor.json"
    path.write_text("precious")
    with pytest.raises(KeyFileError, match="exists already"):
        KEY.anchor().save(path)
    assert path.read_text() == "precious"


def test_a_file_has_one_field_in_each_line() -> None:
    assert KEY.to_json().decode() == (
        '{\n  "format": "aether-signing-key/1",\n  "name": "alice",\n  "purpose": "production",\n'
        f'  "ed25519_seed": "{KEY.ed25519_seed.hex()}",\n  "ml_dsa_65_seed": "{KEY.ml_dsa_65_seed.hex()}"\n}}\n'
    )
    assert KEY.anchor().to_json().startswith(b'{\n  "format": "aether-trust-anchor/1",\n  "name": "alice",\n')
    assert KEY.anchor().to_json().endswith(b'"\n}\n')


@pytest.mark.parametrize("name", ["a", "7", "A.b_c-9", "x" * 64])
def test_a_name_has_1_to_64_characters(name: str) -> None:
    assert SigningKey(name, bytes(32), bytes(32), development=False).anchor().name == name


@pytest.mark.parametrize("name", ["", "x" * 65, ".a", "_a", "-a", "a b", "a/b", "ä", "a\n"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(KeyFileError) as caught:
        SigningKey(name, bytes(32), bytes(32), development=False)
    assert str(caught.value) == (
        f"{name!a} cannot name a key: use 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit"
    )


SEEDS = {"ed25519_seed": bytes(32), "ml_dsa_65_seed": bytes(32)}
KEYS = {"ed25519_public_key": bytes(32), "ml_dsa_65_public_key": bytes(1952)}


@pytest.mark.parametrize("half", ["ed25519_seed", "ml_dsa_65_seed"])
@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_has_32_bytes(half: str, length: int) -> None:
    with pytest.raises(KeyFileError) as caught:
        SigningKey("alice", **{**SEEDS, half: bytes(length)}, development=False)
    assert str(caught.value) == f"{half} has {length} bytes instead of 32"


@pytest.mark.parametrize(("half", "right"), [("ed25519_public_key", 32), ("ml_dsa_65_public_key", 1952)])
@pytest.mark.parametrize("more", [-1, 1])
def test_a_public_key_has_the_length_of_its_algorithm(half: str, right: int, more: int) -> None:
    with pytest.raises(KeyFileError) as caught:
        TrustAnchor("alice", **{**KEYS, half: bytes(right + more)}, development=False)
    assert str(caught.value) == f"{half} has {right + more} bytes instead of {right}"


def test_the_label_of_an_anchor_has_its_name_and_both_key_ids() -> None:
    anchor = KEY.anchor()
    assert anchor.label == f"alice {anchor.ed25519_key_id.hex()} {anchor.ml_dsa_65_key_id.hex()}"


def test_the_ed25519_half_is_that_of_rfc_8032() -> None:
    # RFC 8032, 7.1, TEST 1.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    anchor = SigningKey("test", seed, bytes(32), development=True).anchor()
    assert anchor.ed25519_public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def test_a_key_id_is_the_first_half_of_the_sha256_of_the_raw_public_key() -> None:
    anchor = KEY.anchor()
    assert anchor.ed25519_key_id == sha256(anchor.ed25519_public_key).digest()[:16]
    assert anchor.ml_dsa_65_key_id == sha256(anchor.ml_dsa_65_public_key).digest()[:16]
    assert key_id(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb924"


def test_two_generated_keys_have_nothing_in_common() -> None:
    first, second = (SigningKey.generate("k", development=False) for _ in range(2))
    seeds = {first.ed25519_seed, first.ml_dsa_65_seed, second.ed25519_seed, second.ml_dsa_65_seed}
    assert len(seeds) == 4


def test_seeds_do_not_show_in_repr() -> None:
    assert repr(KEY) == "SigningKey(name='alice', development=False)"


@pytest.mark.parametrize("development", [True, False])
def test_the_purpose_is_machine_readable_and_survives(development: bool) -> None:
    key = SigningKey.generate("k", development=development)
    wanted = "development, never for production" if development else "production"
    for text in (key.to_json(), key.anchor().to_json()):
        assert json.loads(text)["purpose"] == wanted
    assert SigningKey.from_json(key.to_json()).development is development
    assert TrustAnchor.from_json(key.anchor().to_json()).development is development


def test_an_anchor_holds_no_seed() -> None:
    text = KEY.anchor().to_json().decode()
    assert KEY.ed25519_seed.hex() not in text
    assert KEY.ml_dsa_65_seed.hex() not in text


def test_the_key_that_comes_with_the_payloads_says_it_is_for_development() -> None:
    assert development_key().development
    assert development_anchor().development
    assert development_key().anchor() == development_anchor()


def test_the_other_file_of_a_key_is_named_and_so_is_the_right_one() -> None:
    with pytest.raises(KeyFileError, match=r"^a\.json: .* but a trust anchor; the secret key is in NAME\.key\.json$"):
        SigningKey.from_json(KEY.anchor().to_json(), "a.json")
    with pytest.raises(
        KeyFileError, match=r"^a\.json: .* but a secret key; its trust anchor is in NAME\.anchor\.json$"
    ):
        TrustAnchor.from_json(KEY.to_json(), "a.json")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "aether-trust-anchor/1"}, "format aether-signing-key/1"),
        ({"format": "aether-signing-key/2"}, "format aether-signing-key/1"),
        ({"format": None}, "format aether-signing-key/1"),
        ({"purpose": "whatever"}, "purpose"),
        ({"purpose": None}, "purpose"),
        ({"name": 7}, "name"),
        ({"name": "../../etc/passwd"}, "cannot name a key"),
        ({"name": ""}, "cannot name a key"),
        ({"name": "alice\n"}, "cannot name a key"),
        ({"ed25519_seed": "00" * 31}, "ed25519_seed has 31 bytes instead of 32"),
        ({"ed25519_seed": "zz" * 32}, "ed25519_seed is not lower-case hexadecimal"),
        ({"ed25519_seed": " ".join(["00"] * 32)}, "hexadecimal"),
        ({"ml_dsa_65_seed": "00" * 33}, "ml_dsa_65_seed has 33 bytes instead of 32"),
        ({"ml_dsa_65_seed": None}, "ml_dsa_65_seed"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_key_file_with_a_wrong_field_is_refused_by_name(change: dict[str, Any], reason: str) -> None:
    fields = json.loads(KEY.to_json()) | change
    if "format" in change and change["format"] is None:
        del fields["format"]
    with pytest.raises(KeyFileError, match=reason) as caught:
        SigningKey.from_json(json.dumps(fields), "alice.key.json")
    assert str(caught.value).startswith("alice.key.json: ")
    assert "\n" not in str(caught.value)
    assert KEY.ml_dsa_65_seed.hex() not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "aether-signing-key/1"}, "format aether-trust-anchor/1"),
        ({"ed25519_public_key": "00"}, "ed25519_public_key has 1 bytes instead of 32"),
        ({"ml_dsa_65_public_key": "00" * 1951}, "ml_dsa_65_public_key has 1951 bytes instead of 1952"),
        ({"ml_dsa_65_public_key": "0G"}, "ml_dsa_65_public_key is not lower-case hexadecimal"),
        ({"ed25519_public_key": "AA" * 32}, "ed25519_public_key is not lower-case hexadecimal"),
        ({"purpose": "a"}, "purpose"),
        ({"name": "a b"}, "cannot name a key"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_anchor_file_with_a_wrong_field_is_refused_by_name(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(KeyFileError, match=reason):
        TrustAnchor.from_json(json.dumps(json.loads(KEY.anchor().to_json()) | change))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", KEY.to_json()[:-3]])
def test_what_is_not_a_json_object_of_the_format_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.key.json"
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=r"x\.key\.json"):
        SigningKey.load(path)


def test_a_missing_key_file_and_a_directory_are_refused_alike(tmp_path: Path) -> None:
    for path in (tmp_path / "none.key.json", tmp_path):
        with pytest.raises(KeyFileError, match="cannot read"):
            SigningKey.load(path)


def test_importing_the_payload_modules_imports_neither_cryptography_nor_wasmtime() -> None:
    program = (
        "import sys, payloads, enclave_sim.cli.trust.payload, enclave_sim.payload.artefact\n"
        "sys.exit(', '.join(name for name in ('cryptography', 'wasmtime') if name in sys.modules) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
