"""`enclave-sim payload keygen`: the files of a new key."""

import os
from pathlib import Path

import pytest

from enclave_sim.payload.keys import SigningKey, TrustAnchor
from tests.enclave_sim.cli.trust.payload.payload_command import run


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


@pytest.mark.parametrize("suffix", [".key.json", ".anchor.json"])
def test_keygen_asks_for_the_name_without_the_suffix(tmp_path: Path, suffix: str) -> None:
    outcome = run("keygen", f"bob{suffix}", "--directory", tmp_path)
    what = f"bob{suffix} names a file, not a key: leave out {suffix}, which is added"
    assert (outcome.code, outcome.error) == (2, f"error: {what}\n")
    assert os.listdir(tmp_path) == []
