"""Every option and argument with bytes that are not UTF-8: no traceback, and only printable text on the streams."""

import os
import sys
from pathlib import Path

import click
import pytest

from enclave_sim.cli import streams
from enclave_sim.cli.app import app
from enclave_sim.cli.exit_codes import ExitCode
from payloads import read
from tests.enclave_sim.cli.command import commands

NAME = os.fsdecode(b"\xff\xe9x")
LONG = {("inspect",), ("gdb",), ("verifier", "serve"), ("sweep", "interrupts"), ("coverage",)}
"""They serve, or search for minutes, unless something is wrong, so they get such a payload or file, too."""


def cases() -> list[tuple[tuple[str, ...], str]]:
    """Each command with each of its parameters that take a value."""
    return [
        (words, one.opts[0])
        for words, found in commands()
        if not isinstance(found, click.Group)
        for one in found.params
        if not (isinstance(one, click.Option) and (one.is_flag or one.count))
    ]


def run(*words: str, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Run a command as a process does, in this one. Return its exit code, and all that it printed."""
    out = streams.stream(1)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", streams.stream(2, silent=True))
    with pytest.raises(SystemExit) as ended:
        app.main(list(words))
    out.flush()
    printed = capfdbinary.readouterr()
    return int(ended.value.code or 0), (printed.out + printed.err).decode()


@pytest.mark.parametrize(("words", "option"), cases())
def test_any_bytes_are_refused_or_shown(
    words: tuple[str, ...],
    option: str,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    found = dict(commands())[words]
    given = []
    for one in found.params:
        if isinstance(one, click.Argument):
            if one.required or one.opts[0] == option or words in LONG:
                given.append(NAME)
        elif one.opts[0] == option or one.required:
            given += [one.opts[0], NAME]
    code, printed = run(*words, *given, capfdbinary=capfdbinary, monkeypatch=monkeypatch)
    assert code not in (ExitCode.DEFECT, ExitCode.INTERRUPTED)
    assert all(each.isprintable() or each == "\n" for each in printed)


def test_files_with_such_names_are_used_and_shown(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    payload, recording = f"{NAME}.wasm", f"{NAME}.jsonl"
    Path(payload).write_bytes(read("beacon"))
    for words in (
        ("run", payload),
        ("run", payload, "--quiet", "--record", recording),
        ("run", payload, "--quiet", "--record", recording),
        ("events", recording, "--kind", "woken"),
        ("replay", recording),
        ("export", recording, "--to", "html"),
        ("payload", "keygen", "alice", "--directory", NAME),
        ("payload", "show", payload),
        ("reference-values", payload, "-o", f"{NAME}.json"),
    ):
        code, printed = run(*words, capfdbinary=capfdbinary, monkeypatch=monkeypatch)
        assert code == 0
        assert all(each.isprintable() or each == "\n" for each in printed)
    assert {*os.listdir()} == {payload, recording, f"{NAME}.html", NAME, f"{NAME}.json"}
