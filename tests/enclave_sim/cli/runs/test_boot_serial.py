"""`enclave-sim boot --serial`: typed input reaches the kernel and the recording, which replays it."""

import os
import pty
import subprocess
import termios
from pathlib import Path

import pytest

from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.enclave.kernel.serial_input import typed_in
from enclave_sim.recording.reader import read_events
from tests.enclave_sim.cli.runs.boot_command import Ended, boot, command, say, spawn, typed, write
from tests.enclave_sim.enclave.kernel.serial_kernels import ECHO, RECEIVE_AND_FAIL, RECEIVE_AND_LEAVE, on_interrupt

pytestmark = pytest.mark.slow


def test_what_is_typed_reaches_the_kernel_and_the_recording_repeats_it(tmp_path: Path) -> None:
    image, first, second = write(tmp_path, ECHO), tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    assert typed(b"HALq", image, "--serial", "stdio", "--record", first) == Ended(3, b"IBM", "")
    assert b"".join(data for _, data in typed_in(read_events(first))) == b"HALq"
    assert spawn(image, "--serial", first, "--record", second) == Ended(3, b"IBM", "")
    assert first.read_bytes() == second.read_bytes()


def test_a_kernel_that_sleeps_until_a_key_comes_is_waited_for(tmp_path: Path) -> None:
    image = write(tmp_path, on_interrupt(RECEIVE_AND_LEAVE))
    arguments = command(image, "--serial", "stdio", "--timeout-ns", "1s")
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read(1) == b">"
        process.stdin.write(b"!")
        process.stdin.flush()
        assert process.stdout.read() == b"!"
        assert process.wait(300) == 3


def test_the_end_of_standard_input_is_the_end_of_typing_and_not_of_the_run(tmp_path: Path) -> None:
    sleeps, leaves = on_interrupt(RECEIVE_AND_LEAVE), say(b"done") + bytes.fromhex("b0 01 e6 f4")
    ended = typed(b"", write(tmp_path, sleeps), "--serial", "stdio")
    assert (ended.code, ended.output) == (ExitCode.HALTED, b">")
    assert typed(b"", write(tmp_path, leaves), "--serial", "stdio") == Ended(3, b"done", "")


def test_the_host_limit_ends_a_wait(tmp_path: Path) -> None:
    image = write(tmp_path, on_interrupt(RECEIVE_AND_LEAVE))
    arguments = command(image, "--serial", "stdio", "--host-limit", "300ms")
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.wait(300) == ExitCode.HOST_LIMIT


def test_a_run_into_which_nothing_is_typed_is_the_run_without_the_option(tmp_path: Path) -> None:
    image, paths = write(tmp_path, ECHO), [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for path, options in zip(paths, ([], ["--serial", "stdio"]), strict=True):
        assert typed(b"", image, "--timeout-ns", "5ms", "--record", path, *options).code == ExitCode.LIMIT
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_triple_fault_after_a_key_is_explained_with_that_key(tmp_path: Path) -> None:
    image = write(tmp_path, on_interrupt(RECEIVE_AND_FAIL))
    ended = typed(b"!", image, "--serial", "stdio")
    assert ended.code == ExitCode.SHUTDOWN
    assert "#UD invalid opcode at" in ended.error
    assert ended.error.splitlines()[-2].endswith("  ud2")


def test_a_terminal_gives_each_key_without_showing_it_and_is_as_before_afterwards(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    image = write(tmp_path, on_interrupt(RECEIVE_AND_LEAVE))
    with subprocess.Popen(command(image, "--serial", "stdio"), stdin=theirs, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b">"
        assert not termios.tcgetattr(theirs)[3] & (termios.ECHO | termios.ICANON)
        os.write(ours, b"\r")
        assert process.stdout.read() == b"\r"
        assert process.wait(300) == 3
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def test_what_cannot_be_typed_is_one_line(kernel: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("no recording\n")
    for name in ("missing.jsonl", "text"):
        assert boot([str(kernel), "--serial", str(tmp_path / name)]) == ExitCode.USAGE
        output, error = capfd.readouterr()
        assert (output, error.count("\n")) == ("", 1)
        assert name in error
    line = " ".join(command(kernel, "--serial", "stdio")) + " <&-"
    done = subprocess.run(line, shell=True, capture_output=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (2, b"error: --serial stdio needs standard input, which is closed\n")
