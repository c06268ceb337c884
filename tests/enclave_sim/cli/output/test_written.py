"""Output files of all commands: a recording is never replaced, and another file not silently."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

import payloads
from enclave_sim import Enclave
from enclave_sim.cli.output.written import save
from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel.notebook import Notebook
from firmware import PARTS
from tests.enclave_sim.cli.command import assert_refused, command, commands
from tests.enclave_sim.cli.runs.boot_command import LOOP, write

WRITING = ("output", "svg", "html", "screen", "parquet")
"""Names of options that name an output file, beside those that record."""
NONCE = "00" * 32
COMMANDS: dict[tuple[str, str], Sequence[str]] = {
    ("export", "output"): ("counter.jsonl", "--to", "html", "-o"),
    ("interrupts", "output"): ("counter.jsonl", "-o"),
    ("notebook", "html"): ("walk.md", "--html"),
    ("payload compile", "output"): ("beacon.wasm", "--key", "alice.key.json", "-o"),
    ("payload sign", "output"): ("beacon.wasm", "--key", "alice.key.json", "-o"),
    ("attest", "output"): ("beacon", "--nonce", NONCE, "-o"),
    ("reference-values", "output"): ("beacon", "-o"),
    ("firmware build", "output"): ("mine", "-o"),
    ("lifetimes", "svg"): ("beacon", "--of", "nonce", "--svg"),
    ("coverage", "output"): ("beacon", "-o"),
    ("coverage", "html"): ("beacon", "--html"),
    ("campaign report", "html"): ("a.campaign", "--html"),
    ("campaign report", "parquet"): ("a.campaign", "--parquet"),
    ("boot", "screen"): ("kernel.elf", "--screen"),
}
"""Arguments up to the output file."""


TEXT = b"a letter, not a recording"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    enclave = Enclave("counter")
    enclave.boot()
    assert enclave.recording is not None
    for name in ("counter.jsonl", "kept.jsonl"):
        enclave.recording.save(tmp_path / name)
    (tmp_path / "walk.md").write_text(Notebook(enclave.header).markdown())
    (tmp_path / "beacon.wasm").write_bytes(payloads.read("beacon"))
    write(tmp_path, LOOP)
    for part in PARTS:
        (tmp_path / "mine" / part).mkdir(parents=True)
    command("payload", "keygen", "alice")
    return tmp_path


def test_every_output_option_is_listed() -> None:
    found = {
        (" ".join(words), each.name)
        for words, one in commands()
        for each in one.params
        if isinstance(each, click.Option) and each.name in WRITING
    }
    assert found == COMMANDS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.complete
def test_a_recording_is_not_replaced(folder: Path, words: tuple[str, str]) -> None:
    kept = (folder / "kept.jsonl").read_bytes()
    ended = command(*words[0].split(), *COMMANDS[words], "kept.jsonl")
    assert_refused(ended, "kept.jsonl: it exists and is a recording; remove it or name another file")
    assert (folder / "kept.jsonl").read_bytes() == kept


@pytest.mark.parametrize("words", [("reference-values", "output"), ("payload sign", "output"), ("export", "output")])
def test_a_replaced_file_is_reported(folder: Path, words: tuple[str, str]) -> None:
    arguments = (*words[0].split(), *COMMANDS[words], "letter")
    for before, said in ((None, False), (b"", False), (TEXT, True)):
        (folder / "letter").unlink(missing_ok=True)
        if before is not None:
            (folder / "letter").write_bytes(before)
        ended = command(*arguments)
        assert ended.code == 0
        assert ended.output.startswith("wrote letter: ")
        assert ended.output.endswith("; it replaced an older file\n") is said
        assert (folder / "letter").read_bytes() != TEXT


def test_a_replaced_screen_is_reported(folder: Path) -> None:
    (folder / "letter").write_bytes(TEXT)
    ended = command("boot", "kernel.elf", "--timeout-ns", "1us", "--screen", "letter")
    assert "note: replaced the file letter\n" in ended.error
    assert (folder / "letter").read_bytes() != TEXT


def test_a_picture_leaves_json_alone(folder: Path) -> None:
    (folder / "letter").write_bytes(TEXT)
    ended = command("lifetimes", "beacon", "--of", "nonce", "--json", "--svg", "letter")
    assert json.loads(ended.output)
    assert ended.error == "note: replaced the file letter\n"


def test_a_recording_that_appears_while_a_command_works_is_not_replaced_either(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="it exists and is a recording"):
        save(folder / "kept.jsonl", b"data")
