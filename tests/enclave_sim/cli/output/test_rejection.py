"""Every command that runs a payload, or shows its run, says if the payload was rejected, and in the same words."""

from pathlib import Path

import pytest

from enclave_sim.payload.keys import SigningKey
from enclave_sim.payload.signature import sign
from tests.enclave_sim.cli.command import command

WORDS = "a payload failed a check and was never run"
NOTE = f"note: {WORDS}: UNKNOWN_KEY: no trust anchor has both key ids "


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module signed by an unknown key, and the recording of its run, `foreign.jsonl`."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "foreign.wasm"
    path.write_bytes(sign(b"\0asm\1\0\0\0", SigningKey.generate("foreign", development=False)))
    return path


@pytest.mark.parametrize(
    "words",
    [
        "provenance foreign.wasm --of rax",
        "provenance foreign.wasm --of nothing",
        "lifetimes foreign.wasm --of 0x200000 --bytes 8",
        "coverage foreign.wasm --json",
        "sweep interrupts foreign.wasm --from 111us --to 111030 --kind external --json",
        "replay foreign.jsonl",
        "export foreign.jsonl --to vcd",
    ],
)
def test_a_command_says_it_in_one_note(foreign: Path, words: str) -> None:
    if "jsonl" in words:
        command("run", foreign, "--quiet", "--record", "foreign.jsonl")
    notes = [line for line in command(*words.split()).error.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1
    assert notes[0].startswith(NOTE)


@pytest.mark.usefixtures("foreign")
def test_run_says_it_in_the_same_words() -> None:
    assert WORDS in command("run", "foreign.wasm").output
    assert command("run", "foreign.wasm").error == ""


def test_there_is_no_note_about_a_payload_that_ran() -> None:
    assert command("provenance", "beacon", "--of", "rax").error == ""
