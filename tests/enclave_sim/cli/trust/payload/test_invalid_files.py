"""Invalid files and options for `enclave-sim payload`: exit code 2, one line, the same for every command."""

import re
from pathlib import Path

import pytest

from enclave_sim.recording.format import BEGINNING
from tests.enclave_sim.cli.trust.payload.payload_command import run


@pytest.mark.parametrize("command", ["sign", "verify", "show", "compile"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"\x7fELF" + bytes(60), "is not a WebAssembly module"),
        (b"(module)", "is text, not a WebAssembly module"),
        (BEGINNING, "is a recording, not a payload; enclave-sim replay repeats it"),
        (b"\0asm\x0d\0\1\0", "it is a WebAssembly component; a payload is a module"),
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
    assert re.match(rf"error: (cannot read )?{re.escape(str(path))}(:| is) ", outcome.error)
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
    outcome = run("verify", directory / "beacon.wasm", "--trust-anchor", directory / "alice.key.json")
    assert (outcome.code, "format aether-trust-anchor/1" in outcome.error) == (2, True)


def test_a_missing_option_is_a_usage_error(directory: Path) -> None:
    assert run("sign", directory / "beacon.wasm").code == 2


@pytest.mark.parametrize("command", ["keygen", "sign", "verify", "show", "compile"])
def test_every_help_text_has_an_example(command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert f"Example: enclave-sim payload {command} " in " ".join(outcome.output.split())
