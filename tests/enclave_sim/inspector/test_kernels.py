"""A bare kernel in the inspector: what is shown, and which options belong to it."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.kernel.bare_kernel import KernelOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.actions.keys import COMMON_KERNEL
from enclave_sim.inspector.panes import PANES
from enclave_sim.inspector.session.sources import source_of
from enclave_sim.recording.format import RecordingError
from enclave_sim.recording.reader import read_events
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.cli.runs.boot_command import boot
from tests.enclave_sim.enclave.kernel.serial_kernels import ECHO
from tests.enclave_sim.inspector.driving import SIZES, Driven, Size, drive
from tests.machine.boot import images

pytestmark = pytest.mark.slow  # each drives the whole program

HELLO = bytes.fromhex("66 ba f8 03 b0 48 ee b0 69 ee b0 2a e6 f4 f4")
"""Prints "Hi" on COM1, and exits with 42."""


PAGING_32 = bytes.fromhex(
    "c7 05 00 80 00 00 83 00 00 00"  # the page directory, at 0x8000: 4 MiB, writable, identity-mapped
    "b8 00 80 00 00 0f 22 d8"  # CR3
    "0f 20 e0 83 c8 10 0f 22 e0"  # CR4.PSE
    "0f 20 c0 0d 00 00 00 80 0f 22 c0 f4"  # CR0.PG, HLT
)


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "kernel.elf"
    path.write_bytes(images.kernel1(code=HELLO))
    return path


@SIZES
def test_every_pane_has_something_to_say_of_a_kernel_from_its_beginning_to_its_end(kernel: Path, size: Size) -> None:
    async def script(driven: Driven) -> None:
        for _ in range(2):
            for pane in PANES:
                await driven.press(pane.KEY)
                assert any(text.strip() for text in driven.rows(pane.NAME))
            await driven.press("right_square_bracket")
        assert "END" in driven.standing.text
        assert "left, exit status 85" in driven.standing.text
        await driven.press("0")
        assert any("Hi" in text for text in driven.rows("devices"))
        await driven.press("S", "S")
        assert "END" not in driven.standing.text
        await driven.press("left_square_bracket")
        assert driven.standing.position.at_ns == 0

    drive(script, size, source_of((str(kernel),)))


def test_linear_addresses_are_physical_ones_only_where_paging_is_off(tmp_path: Path) -> None:
    path = tmp_path / "paging.elf"
    path.write_bytes(images.kernel1(code=PAGING_32))

    async def script(driven: Driven) -> None:
        await driven.press("9")
        assert sum("paging is off: linear addresses are physical ones" in text for text in driven.rows("tables")) == 2
        await driven.press("right_square_bracket")
        assert sum("paging is 32-bit; only 4-level" in text for text in driven.rows("tables")) == 2
        assert not any("physical ones" in text for text in driven.rows("tables"))

    drive(script, (100, 30), source_of((str(path),)))


@SIZES
def test_what_only_an_enclave_has_is_reported_in_a_line(kernel: Path, size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("=", "V")
        assert "bare kernel" in driven.said
        await driven.press("h")
        assert driven.said.startswith("! no further host call before the run ends")

    drive(script, size, source=source_of((str(kernel),)))


def test_footer_and_palette_offer_no_host_call_phase_or_guarantee(kernel: Path) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("=")
        footer = str(driven.app.query_one("#keys").render())
        assert footer.endswith(f"  | {COMMON_KERNEL}")
        assert "p mode" in footer
        assert "host call" not in footer
        offered = [command.title for command in driven.app.get_system_commands(driven.app.screen)]
        assert not [title for title in offered if "host call" in title or "(V)" in title or "WebAssembly" in title]
        assert any("of a bare kernel, the next mode (p)" in title for title in offered)

    drive(script, source=source_of((str(kernel),)))


@SIZES
def test_its_modes_take_the_place_of_boot_phases_and_lead_to_their_moment(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket", "2")
        assert any(text.startswith("+ long") for text in driven.rows("phases"))
        await driven.press("enter")
        assert 0 < driven.standing.position.at_ns < 70_000_000
        assert driven.standing.mode == "long"
        await driven.press("P", "4", "y")
        assert driven.standing.mode == "compatibility"
        assert any("%ecx" in text for text in driven.rows("code"))  # the source lies beside the image
        await driven.press("p")
        assert driven.standing.mode == "long"

    drive(script, size, source=source_of(("firmware/aether.elf",)))


def test_a_breakpoint_by_symbol_and_the_command_line_are_the_kernels(kernel: Path) -> None:
    source = source_of((str(kernel),), kernel_options=KernelOptions(command_line="verbose", ram_bytes=4 << 20))
    opened = source.open(Cancellation())
    assert b"verbose" in bytes(opened.run.machine.ram.view)
    assert opened.run.machine.ram.size == 4 << 20


@pytest.fixture
def recorded(kernel: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """The recording of a kernel with a module, the kernel, and the module."""
    module, recording = tmp_path / "module.bin", tmp_path / "kernel.jsonl"
    module.write_bytes(b"module")
    words = ["--append", "verbose", "--module", f"{module},first", "--fw-cfg", f"opt/m={module}", "--ram", "4M"]
    assert boot([str(kernel), "--record", str(recording), *words]) == images.EXIT_STATUS
    return recording, kernel, module


def test_the_recording_of_a_kernel_is_made_again_and_found_to_be_the_same(recorded: tuple[Path, Path, Path]) -> None:
    recording, kernel, module = recorded
    opened = source_of((str(recording),), files=(str(module), str(kernel))).open(Cancellation())
    assert opened.comparison is not None
    opened.run.resume()
    opened.comparison.follow(opened.run.known)
    assert opened.comparison.words(over=True) == "as recorded"
    assert len(opened.run.known) == len(list(read_events(recording)))
    assert opened.run.machine.ram.size == 4 << 20
    assert b"verbose" in bytes(opened.run.machine.ram.view)


def test_what_was_typed_comes_again_at_its_time(tmp_path: Path) -> None:
    image, recording = tmp_path / "echo.elf", tmp_path / "echo.jsonl"
    image.write_bytes(images.kernel1(code=ECHO))
    arguments = [sys.executable, "-m", "enclave_sim", "boot", str(image), "--serial", "stdio"]
    subprocess.run([*arguments, "--record", str(recording)], input=b"abq", check=False, timeout=300)
    opened = source_of((str(recording),), files=(str(image),)).open(Cancellation())
    opened.run.resume()
    assert opened.run.machine.uart.transmitted == b"bc"
    assert opened.run.known == list(read_events(recording))


def test_a_file_that_a_recording_does_not_carry_is_asked_for(recorded: tuple[Path, Path, Path]) -> None:
    recording, kernel, module = recorded
    for files, missing in (((), "the kernel"), ((kernel,), "module 0"), ((module,), "the kernel")):
        with pytest.raises(
            RecordingError, match=f"does not embed {missing}, a file with SHA-256 [0-9a-f]+; give it with --payload"
        ):
            source_of((str(recording),), files=tuple(map(str, files))).open(Cancellation())


@pytest.mark.parametrize(
    ("changed", "to"),
    [('"ram_size":4194304', '"ram_size":-1'), ('"first"', '"first","second"'), ('"opt/m":"', '"opt/m":1,"x":"')],
)
def test_a_configuration_that_is_none_is_one_clear_error(
    recorded: tuple[Path, Path, Path], changed: str, to: str, tmp_path: Path
) -> None:
    recording, kernel, module = recorded
    header, *lines = recording.read_text().splitlines(keepends=True)
    assert changed in header
    header = header.replace(changed, to)
    content = "".join([header, *lines[:-1]])
    trailer = {**json.loads(lines[-1]), "sha256": hashlib.sha256(content.encode()).hexdigest()}
    path = tmp_path / "changed.jsonl"
    path.write_text(content + json.dumps(trailer, separators=(",", ":")) + "\n")
    with pytest.raises(RecordingError) as error:
        source_of((str(path),), files=(str(kernel), str(module))).open(Cancellation())
    assert "\n" not in str(error.value)


def test_an_image_beside_something_else_is_refused(kernel: Path) -> None:
    with pytest.raises(ConfigurationError, match="a kernel image, which must be named alone"):
        source_of((str(kernel), "beacon"))


def refused(*arguments: str) -> str:
    ended = command("inspect", *arguments)
    assert_refused(ended)
    return ended.error.removeprefix("error: ").rstrip("\n")


def test_options_that_are_for_something_else_are_refused_and_not_passed_over(kernel: Path) -> None:
    assert refused(str(kernel), "--cycles", "3") == "--cycles is for payloads; this is a kernel image"
    assert refused("beacon", "--append", "x") == "--append is for a kernel image; this is payloads"
    assert refused("beacon", "--payload", "x") == "--payload is for a recording; this is payloads"
    assert "terminal" in refused(str(kernel), "--portable", "--ns-per-instruction", "2", "--ram", "8M")
    assert "terminal" in refused("beacon", "--portable", "--ns-per-instruction", "2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ram", "1"], "is not from 2M"),
        (["--module", "missing.bin"], "cannot read missing.bin"),
        (["--fw-cfg", "nothing"], "is not NAME=FILE"),
        (["--ns-per-instruction", "0"], "instruction"),
    ],
)
def test_what_a_kernel_cannot_have_is_reported_before_any_screen(
    kernel: Path, arguments: list[str], words: str
) -> None:
    assert words in refused(str(kernel), *arguments)


def test_an_image_that_cannot_boot_is_reported_before_any_screen(tmp_path: Path) -> None:
    path = tmp_path / "broken.elf"
    path.write_bytes(b"\x7fELF" + bytes(100))
    assert refused(str(path)).startswith(f"cannot boot {path}: ")


def test_a_tpm_that_cannot_go_back_is_refused() -> None:
    assert "cannot be stepped back" in refused("beacon", "--tpm", "swtpm:/nowhere")
