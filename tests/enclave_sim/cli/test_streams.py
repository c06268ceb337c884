"""Standard output that is full, closed or without a reader: each command's message and exit code."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

import payloads
from enclave_sim.cli import signals, streams
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.main import main
from enclave_sim.cli.streams import OutputLost, has_reader, stream
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.payload.keys import SigningKey
from enclave_sim.time_travel.notebook import Notebook
from tests.enclave_sim.cli.campaigns.plans import PLAN
from tests.enclave_sim.cli.command import command, commands
from tests.enclave_sim.cli.runs.boot_command import leave, say, write

NONCE = "00" * 32
COMMANDS: dict[str, int] = {
    "--help": 0,
    "--version": 0,
    "run --help": 0,
    "run divider": ExitCode.GUEST_FAULT,
    "run divider --json": ExitCode.GUEST_FAULT,
    "run divider --quiet": ExitCode.GUEST_FAULT,
    "replay beacon.jsonl": 0,
    "diff beacon.jsonl counter.jsonl": ExitCode.DIFFERENT,
    "diff beacon.jsonl counter.jsonl --json": ExitCode.DIFFERENT,
    "events beacon.jsonl": 0,
    "events beacon.jsonl --json": 0,
    "events beacon.jsonl --count": 0,
    "export beacon.jsonl --to vcd": 0,
    "export beacon.jsonl --to perfetto -o -": 0,
    "export beacon.jsonl --to vcd -o -": 0,
    "export beacon.jsonl --to parquet -o -": 0,
    "export beacon.jsonl --to html -o -": 0,
    "interrupts beacon.jsonl": 0,
    "notebook walk.md": 0,
    "notebook walk.md --json": 0,
    "notebook walk.md --html x.html": 0,
    f"attest --nonce {NONCE} -o x.eat": 0,
    f"attest --nonce {NONCE} -o -": 0,
    f"verify-evidence b.eat --nonce {NONCE} --reference values.json": 0,
    "reference-values": 0,
    "reference-values -o x.json": 0,
    "payload keygen NAME": 0,
    "payload list": 0,
    "payload list --json": 0,
    "payload sign beacon.wasm --key alice.key.json -o x.wasm": 0,
    "payload compile beacon.wasm --key alice.key.json -o x.wasm": 0,
    "payload verify beacon.wasm": 0,
    "payload show beacon.wasm": 0,
    "payload show beacon.wasm --json": 0,
    "boot kernel.elf": ExitCode.USAGE,  # a kernel may print for ever
    "boot --help": 0,
    "provenance beacon --of rax": 0,
    "provenance beacon --of rax --json": 0,
    "lifetimes beacon --of nonce": 0,
    "lifetimes beacon --of nonce --json": 0,
    "sweep interrupts beacon --kind tamper --from 1376450 --to 1376452": 0,
    "coverage beacon": 0,
    "coverage beacon --json": 0,
    "lab list": 0,
    "lab list --json": 0,
    "lab start boot lab-NAME": 0,
    "lab check boot lab": 0,
    "lab check boot lab --json": 0,
    "lab hint boot lab": 0,
    "lab submit boot lab": 0,
    "lab verify lab/receipt.json lab": 18,
    "lab grade lab": 0,
    "lab author new course-NAME": 0,
    "lab author start 1 ada --course systems/course.toml --into cases-NAME": 0,
    "campaign run plan.toml --workers 1": 0,
    "campaign run plan.toml --json": 0,
    "campaign status plan.campaign": 0,
    "campaign report plan.campaign": 0,
    "campaign show plan.campaign 0/0": 0,
    "campaign rerun plan.campaign 0/0": 0,
    "firmware new NAME": 0,
    "schema run": 0,
    "completion bash": 0,
}
"""Each command that prints, and its exit code if the reader of its output has exited."""
SLOW: dict[str, int] = {
    "verify vandal --engine native --runs 2": 0,
    "verify vandal --engine native --runs 2 --json": 0,
    "firmware build mine": 0,
}
SERVING = {"inspect", "lab open", "gdb", "verifier serve"}
"""Commands that go on until they are stopped; they print their address, or need a terminal."""


def _read_only() -> int:
    return os.open(os.devnull, os.O_RDONLY)  # `streams.protect` replaces a closed descriptor with this


def _full() -> int:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    return os.open("/dev/full", os.O_WRONLY)


def _left() -> int:
    read, written = os.pipe()
    os.close(read)
    return written


OUTPUTS = {
    "closed": (_read_only, "error: cannot write to standard output: Bad file descriptor\n"),
    "full": (_full, "error: cannot write to standard output: No space left on device\n"),
    "left": (_left, ""),
}
"""For each kind of output: how to make it, and the message."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files that the commands read."""
    directory = tmp_path_factory.mktemp("files")
    write(directory, say(b"hello\n") + leave(42))
    SigningKey.generate("alice", development=False).save(directory / "alice.key.json")
    (directory / "beacon.wasm").write_bytes(payloads.read("beacon"))
    enclave = Enclave("beacon")
    enclave.reference_values().save(directory / "values.json")
    (directory / "walk.md").write_text(Notebook(enclave.header).markdown())
    command("attest", "--nonce", NONCE, "-o", directory / "b.eat")
    command("firmware", "new", directory / "mine")
    command("lab", "start", "boot", directory / "lab")
    command("lab", "author", "new", directory / "systems")
    command("lab", "submit", "boot", directory / "lab")
    (directory / "plan.toml").write_text(PLAN)
    command("campaign", "run", directory / "plan.toml", "--workers", "1")
    for name in ("beacon", "counter"):
        command("run", name, "--record", directory / f"{name}.jsonl")
    return directory


def test_every_command_is_here() -> None:
    lines = [f"{line} " for line in COMMANDS | SLOW]
    found = {" ".join(words) for words, one in commands() if not isinstance(one, click.Group)}
    assert {name for name in found if not any(line.startswith(f"{name} ") for line in lines)} == SERVING


@pytest.mark.slow
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("words", [*COMMANDS, *(pytest.param(words, marks=pytest.mark.slow) for words in SLOW)])
def test_a_command_whose_output_is_lost(words: str, output: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, said = OUTPUTS[output]
    descriptor, error = opened(), io.StringIO()
    monkeypatch.chdir(files)
    monkeypatch.setattr(sys, "argv", ["enclave-sim", *words.replace("NAME", f"key-{output}").split()])
    monkeypatch.setattr(sys, "stdout", stream(descriptor))
    monkeypatch.setattr(sys, "stderr", error)
    monkeypatch.setattr(streams, "protect", lambda: None)
    monkeypatch.setattr(signals, "tidy_up_first", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main()
    monkeypatch.undo()
    os.close(descriptor)
    if words == "boot kernel.elf":
        said = said or "error: cannot write to standard output: its reader has exited\n"
    assert error.getvalue() == said
    assert ended.value.code == ((COMMANDS | SLOW)[words] if output == "left" else ExitCode.USAGE)


def test_output_that_cannot_be_written_is_an_error_once_and_the_rest_is_dropped() -> None:
    descriptor = _read_only()
    lost = stream(descriptor)
    with pytest.raises(OutputLost, match="Bad file descriptor"):
        print("text", file=lost, flush=True)
    for _ in range(3):
        print("text", file=lost, flush=True)
    lost.close()
    os.close(descriptor)


def test_a_reader_that_has_left_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = _left()
    monkeypatch.setattr(sys, "stdout", stream(descriptor))
    assert has_reader()
    print("text", flush=True)
    assert not has_reader()
    sys.stdout.close()
    os.close(descriptor)


def test_a_pipe_that_must_not_block_gets_all_of_it() -> None:
    read, written = os.pipe()
    os.set_blocking(written, False)
    content = bytes(range(256)) * 4096
    out = stream(written)

    def send() -> None:
        out.buffer.write(content)
        out.close()
        os.close(written)

    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"],
        stdin=read,
        stdout=subprocess.PIPE,
        close_fds=True,
    ) as reader:
        os.close(read)
        thread = threading.Thread(target=send)
        thread.start()
        assert reader.stdout is not None
        assert reader.stdout.read() == content
        thread.join()


@pytest.mark.parametrize(
    ("redirection", "code", "lines"),
    [(">&-", 2, 1), ("2>&-", 0, 0), ("<&-", 0, 0), (">&- 2>&-", 2, 0), (">&- 2>&- <&-", 2, 0)],
)
def test_descriptors_that_are_closed_from_the_start(redirection: str, code: int, lines: int) -> None:
    line = f"{sys.executable} -m enclave_sim --version {redirection}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (code, lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_errors_that_cannot_be_written_change_no_exit_code() -> None:
    line = f"{sys.executable} -m enclave_sim --bogus 2>/dev/full"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.USAGE, b"", b"")
