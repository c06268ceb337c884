"""The screen of a bare kernel, and its typed input."""

import subprocess
import sys
from pathlib import Path

import pytest

from enclave_sim.cancellation import Cancellation
from enclave_sim.cli.runs.boot_serial import recorded
from enclave_sim.enclave.kernel.bare_kernel import KernelOptions
from enclave_sim.inspector.model.event_log import EventLog
from enclave_sim.inspector.model.machine.screen import screen_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning
from enclave_sim.inspector.session.sources import source_of
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.cli.runs.boot_command import HALT
from tests.enclave_sim.cli.runs.screen_code import GRAPHICS, SCROLL, draw
from tests.enclave_sim.enclave.kernel.serial_kernels import ECHO
from tests.enclave_sim.inspector.driving import Driven, drive
from tests.enclave_sim.inspector.moments import moment_of
from tests.machine.boot import images

SMALL = KernelOptions(ram_bytes=4 << 20)


def at_the_end(path: Path, code: bytes) -> Moment:
    path.write_bytes(images.kernel1(code=code))
    opened = source_of((str(path),), kernel_options=SMALL).open(Cancellation())
    opened.run.resume()
    return Moment(opened, EventLog(opened.run.known, opened.run.cancellation))


def test_every_row_of_the_screen_is_shown_with_its_cells_and_the_cursor(tmp_path: Path) -> None:
    moment = at_the_end(tmp_path / "kernel.elf", draw(b"top \x01") + draw(b"two", 2) + HALT)
    view = screen_view(moment)
    assert len(view.rows) == 25
    assert view.rows[0].text == " 0|" + "top ☺".ljust(80) + "|"
    assert view.rows[2].text.startswith(" 2|two ")
    assert [(one.target.memory, one.target.size) for one in view.rows[:2]] == [(0xB8000, 160), (0xB80A0, 160)]
    assert view.subtitle == "80 x 25, cursor at row 0, column 0"
    assert [text for text, meaning in view.rows[0].parts if meaning is Meaning.HERE] == ["t"]
    write = moment.run.last_write(0xB8000 + 320, 2)
    assert write is not None
    assert write.rip is not None


def test_a_scrolled_screen_begins_with_its_first_row_and_a_graphics_mode_says_so(tmp_path: Path) -> None:
    scrolled = screen_view(at_the_end(tmp_path / "kernel.elf", draw(b"up") + draw(b"top", 1) + SCROLL + HALT))
    assert scrolled.rows[0].text.startswith(" 0|top ")
    assert scrolled.rows[0].target.memory == 0xB80A0
    assert "graphics mode" in screen_view(at_the_end(tmp_path / "kernel.elf", GRAPHICS + HALT)).rows[0].text


def test_an_enclave_has_no_screen() -> None:
    assert "an enclave has no screen" in screen_view(moment_of("counter")).rows[0].text


@pytest.mark.slow
def test_the_screen_is_a_pane_and_goes_back_with_the_run(tmp_path: Path) -> None:
    path = tmp_path / "kernel.elf"
    path.write_bytes(images.kernel1(code=draw(b"hello") + HALT))

    async def script(driven: Driven) -> None:
        await driven.press("'", "right_square_bracket")
        assert driven.rows("screen")[0].startswith(" 0|hello ")
        await driven.press("W")
        assert "last written at" in driven.said
        await driven.press("S", "S", "S", "S")
        assert driven.rows("screen")[0].startswith(" 0|hell ")
        await driven.press("left_square_bracket")
        assert not driven.rows("screen")[0][3:-1].strip()

    drive(script, source=source_of((str(path),), kernel_options=SMALL))


@pytest.mark.slow
def test_what_was_typed_in_a_recorded_run_is_typed_again_to_an_image(tmp_path: Path) -> None:
    image, recording = tmp_path / "echo.elf", tmp_path / "echo.jsonl"
    image.write_bytes(images.kernel1(code=ECHO))
    arguments = [sys.executable, "-m", "enclave_sim", "boot", str(image), "--serial", "stdio"]
    subprocess.run([*arguments, "--record", str(recording)], input=b"abq", check=False, timeout=300)
    options = KernelOptions(typed=recorded(str(recording)))
    opened = source_of((str(image),), kernel_options=options).open(Cancellation())
    opened.run.resume()
    assert opened.run.machine.uart.transmitted == b"bc"
    for refused, words in (
        ((str(image), "--serial", "stdio"), "boot --serial stdio --record FILE"),
        (("beacon", "--serial", str(recording)), "--serial is for a kernel image"),
        ((str(image), "--serial", str(recording)), "terminal"),
        (("beacon", "--port", "8001"), "--port is for --web"),
    ):
        ended = command("inspect", *refused)
        assert_refused(ended)
        assert words in ended.error
