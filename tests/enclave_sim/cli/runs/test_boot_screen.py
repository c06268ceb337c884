"""`enclave-sim boot`: when and where the screen is shown."""

import signal
import subprocess
from pathlib import Path

import pytest

from enclave_sim.cli.exit_codes import ExitCode
from tests.enclave_sim.cli.runs.boot_command import HALT, LOOP, UD2, boot, command, leave, say, spawn, write
from tests.enclave_sim.cli.runs.screen_code import GRAPHICS, SCROLL, draw


def test_what_the_kernel_wrote_is_shown_before_the_last_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert boot([str(write(tmp_path, draw(b"top \x01") + draw(b"  two", 2) + HALT))]) == ExitCode.HALTED
    output, error = capfd.readouterr()
    assert output == ""
    assert error.splitlines()[:-1] == ["screen:", "  top ☺", "", "    two"]
    assert error.splitlines()[-1].startswith("stopped: the kernel halted")


def test_it_is_shown_when_the_kernel_leaves_and_after_a_triple_fault(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert boot([str(write(tmp_path, draw(b"bye") + leave(0)))]) == 1
    assert capfd.readouterr().err == "screen:\n  bye\n"
    assert boot([str(write(tmp_path, draw(b"ouch") + UD2))]) == ExitCode.SHUTDOWN
    assert capfd.readouterr().err.startswith("screen:\n  ouch\n#UD")


def test_a_blank_screen_is_not_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert boot([str(write(tmp_path, draw(b" \0\xff ") + leave(0)))]) == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("interruptible")
def test_it_is_shown_after_ctrl_c(tmp_path: Path) -> None:
    path = write(tmp_path, draw(b"waiting") + say(b"!") + LOOP)
    with subprocess.Popen(command(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=300)[1]
    assert (process.returncode, error) == (ExitCode.INTERRUPTED, b"screen:\n  waiting\ninterrupted\n")


def test_it_goes_to_standard_output_after_the_serial_line(tmp_path: Path) -> None:
    ended = spawn(write(tmp_path, say(b"serial\n") + draw(b"screen \x02") + leave(0)), "--screen", "-")
    assert (ended.code, ended.output, ended.error) == (1, "serial\nscreen ☻\n".encode(), "")


def test_it_goes_to_a_file_whichever_way_the_run_ends(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kernel, file = write(tmp_path, draw(b"text") + LOOP), tmp_path / "screen.txt"
    for option, code in (("--timeout-ns=1000", ExitCode.LIMIT), ("--host-limit=100ms", ExitCode.HOST_LIMIT)):
        assert boot([str(kernel), "--screen", str(file), option]) == code
        assert file.read_text() == "text\n"
        assert "screen" not in capfd.readouterr().err
        file.unlink()


def test_a_blank_screen_is_an_empty_file(kernel: Path, tmp_path: Path) -> None:
    assert boot([str(kernel), "--screen", str(tmp_path / "screen.txt")]) == 85
    assert (tmp_path / "screen.txt").read_bytes() == b""


def test_a_file_that_cannot_be_written_is_refused_before_the_run(
    kernel: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert boot([str(kernel), "--screen", "/nonesuch/screen.txt"]) == ExitCode.USAGE
    assert capfd.readouterr() == (
        "",
        "error: cannot write the screen to /nonesuch/screen.txt: there is no directory /nonesuch\n",
    )


def test_the_screen_is_what_the_registers_show_of_its_memory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert boot([str(write(tmp_path, draw(b"above") + draw(b"below", 1) + SCROLL + leave(0)))]) == 1
    assert capfd.readouterr().err == "screen:\n  below\n"


def test_a_graphics_mode_is_said_to_be_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert boot([str(write(tmp_path, draw(b"text") + GRAPHICS + leave(0)))]) == 1
    assert "graphics mode" in capfd.readouterr().err


def test_a_locale_without_these_characters_is_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    ended = spawn(write(tmp_path, draw(b"\x01") + leave(0)))
    assert (ended.code, ended.error) == (1, "screen:\n  \\u263a\n")
