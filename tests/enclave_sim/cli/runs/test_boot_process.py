"""`enclave-sim boot` as a process: help, streams, signals, recordings, and modules that it does not import."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from enclave_sim.cli.app import app
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.recording.reader import read_events, read_header
from tests.enclave_sim.cli.runs.boot_command import (
    LOOP,
    PRINT_FOREVER,
    Ended,
    boot,
    command,
    say,
    spawn,
    write,
)

# Help


def test_help_has_exit_codes_and_an_example() -> None:
    ended = spawn("--help")
    text = ended.output.decode()
    assert (ended.code, ended.error) == (0, "")
    for word in ("--append", "--module", "--ram", "--timeout-ns", "isa-debug-exit", "Example:", " 130  "):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_list_of_commands_has_it_and_leads_to_the_same_help() -> None:
    runner = CliRunner()
    assert "boot" in runner.invoke(app, ["--help"]).stdout
    assert "isa-debug-exit" in runner.invoke(app, ["boot", "--help"]).stdout


# Streams and signals


@pytest.mark.usefixtures("interruptible")
def test_output_comes_while_the_kernel_runs(tmp_path: Path) -> None:
    path = write(tmp_path, say(b"ready\n") + LOOP)
    with subprocess.Popen(command(path), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(6) == b"ready\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(300) == ExitCode.INTERRUPTED
        finally:
            process.kill()


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_it_with_one_word_even_in_the_middle_of_output(tmp_path: Path) -> None:
    forever = command(write(tmp_path, PRINT_FOREVER), "--timeout-ns", "100_000_000")
    with subprocess.Popen(forever, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1000)
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (ExitCode.INTERRUPTED, b"interrupted\n")
    assert set(output) <= set(b"A")


LEFT = b"error: cannot write to standard output: its reader has exited\n"


def test_a_reader_that_leaves_ends_it_with_one_line(tmp_path: Path) -> None:
    forever = command(write(tmp_path, PRINT_FOREVER), "--timeout-ns", "100_000_000")
    with subprocess.Popen(forever, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(300) == ExitCode.USAGE
        assert process.stderr.read() == LEFT


def test_a_closed_standard_output_is_one_line_and_no_file_takes_its_place(kernel: Path, tmp_path: Path) -> None:
    line = " ".join(command(kernel, "--record", tmp_path / "run.jsonl")) + " >&-"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (2, b"error: cannot write to standard output: Bad file descriptor\n")
    assert os.listdir(tmp_path) == [kernel.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(kernel: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command(kernel), stdout=full, stderr=subprocess.PIPE, check=False, timeout=300)
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == b"error: cannot write to standard output: No space left on device\n"


# Recordings


def test_a_recording_is_complete_and_the_same_run_gives_the_same_one(tmp_path: Path, kernel: Path) -> None:
    paths = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for path in paths:
        assert spawn(kernel, "--record", path, "--append", "x") == Ended(85, b"hello\n", "")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert next(iter(read_events(paths[0]))).__struct_config__.tag == "mode_switched"
    assert read_header(paths[0]).configuration["command_line"] == "x"
    assert json.loads(paths[0].read_bytes().splitlines()[-1])["kind"] == "trailer"


def test_a_refused_image_leaves_no_recording(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert boot(["/dev/null", "--record", str(tmp_path / "run.jsonl")]) == ExitCode.USAGE
    assert os.listdir(tmp_path) == []


# Imports


def test_booting_loads_the_machine_and_nothing_else(kernel: Path) -> None:
    program = f"""
import atexit, sys
from enclave_sim.cli.main import main
sys.argv = ["enclave-sim", "boot", {str(kernel)!r}]
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 85
    loaded = done.stderr.split()
    assert {"unicorn", "msgspec", "machine.machine"} <= set(loaded)
    heavy = [
        "rich",
        "wasmtime",
        "cryptography",
        "elftools",
        "capstone",
        "hashlib",
        "secrets",
        "fractions",
    ]
    heavy += ["asyncio", "json", "importlib.metadata", "pkg_resources", "subprocess", "traceback", "firmware"]
    assert [name for name in heavy if name in loaded] == []
    ours = [name for name in loaded if name.split(".")[0] == "enclave_sim"]
    assert sorted(ours) == [
        "enclave_sim",
        "enclave_sim._lazy",
        "enclave_sim.cancellation",
        "enclave_sim.cli",
        "enclave_sim.cli.app",
        "enclave_sim.cli.command",
        "enclave_sim.cli.exit_codes",
        "enclave_sim.cli.main",
        "enclave_sim.cli.options",
        "enclave_sim.cli.options.host_limit",
        "enclave_sim.cli.options.kernel",
        "enclave_sim.cli.options.types",
        "enclave_sim.cli.runs",
        "enclave_sim.cli.runs.boot",
        "enclave_sim.cli.runs.boot_screen",
        "enclave_sim.cli.signals",
        "enclave_sim.cli.streams",
        "enclave_sim.enclave",
        "enclave_sim.enclave.due_inputs",
        "enclave_sim.enclave.host_limit",
        "enclave_sim.enclave.kernel",
        "enclave_sim.enclave.kernel.bare_kernel",
        "enclave_sim.enclave.kernel.last_events",
        "enclave_sim.enclave.kernel.serial_input",
        "enclave_sim.errors",
        "enclave_sim.files",
        "enclave_sim.files.reading",
        "enclave_sim.recording",
        "enclave_sim.recording.text",
        "enclave_sim.similar",
        "enclave_sim.times",
    ]


def test_help_does_not_load_the_machine() -> None:
    program = """
import sys
from enclave_sim.cli.app import app
try:
    app.main(["boot", "--help"])
finally:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "unicorn" not in done.stderr.split()


def test_one_byte_for_a_reader_that_has_left_ends_it(tmp_path: Path) -> None:
    path = write(tmp_path, say(b"A") + LOOP)
    read, written = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(command(path), stdout=written, stderr=subprocess.PIPE, check=False, timeout=300)
    finally:
        os.close(written)
    assert (done.returncode, done.stderr) == (ExitCode.USAGE, LEFT)
