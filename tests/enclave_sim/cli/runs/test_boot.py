"""`enclave-sim boot`: output, exit codes and refusals."""

from pathlib import Path

import pytest

from enclave_sim.cli.exit_codes import ExitCode
from tests.enclave_sim.cli.runs.boot_command import HALT, LOOP, UD2, Ended, boot, leave, say, spawn, write
from tests.machine.boot import images

# End of a run


@pytest.mark.parametrize("multiboot", [1, 2])
def test_the_serial_line_is_standard_output_and_the_kernel_chooses_the_exit_code(
    tmp_path: Path, multiboot: int
) -> None:
    path = write(tmp_path, say(b"\x00\xff\x1b[1mhello\r\n") + leave(42), multiboot=multiboot)
    assert spawn(path) == Ended(85, b"\x00\xff\x1b[1mhello\r\n", "")


@pytest.mark.parametrize(("value", "code"), [(0, 1), (1, 3), (0x10, 33), (0x7F, 255), (0x80, 1), (0xFF, 255)])
def test_the_exit_code_is_qemus_in_8_bits(tmp_path: Path, value: int, code: int) -> None:
    assert boot([str(write(tmp_path, leave(value)))]) == code


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        (LOOP, ExitCode.LIMIT, ["virtual time reached --timeout-ns", "5000 ns", "RIP 0x10000c"]),
        (HALT, ExitCode.HALTED, ["the kernel halted"]),
    ],
)
def test_a_kernel_that_does_not_end_itself_has_an_even_exit_code_and_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], code: bytes, exit_code: ExitCode, words: list[str]
) -> None:
    assert boot([str(write(tmp_path, code)), "--timeout-ns", "5_000"]) == exit_code
    assert exit_code % 2 == 0
    output, error = capfd.readouterr()
    assert (output, error.count("\n")) == ("", 1)
    for word in words:
        assert word in error


def test_a_triple_fault_is_explained_before_the_last_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert boot([str(write(tmp_path, UD2))]) == ExitCode.SHUTDOWN
    output, error = capfd.readouterr()
    first, *_, instruction, last = error.splitlines()
    assert output == ""
    assert first == "#UD invalid opcode at 0x10000c"
    assert instruction == "  0x10000c  ud2"
    assert last == "stopped: triple fault; 0 ns, RIP 0x10000c"


def test_all_exit_codes_of_boot_but_the_kernels_own_are_even() -> None:
    codes = [ExitCode.USAGE, ExitCode.LIMIT, ExitCode.HALTED, ExitCode.SHUTDOWN, ExitCode.DEFECT, ExitCode.INTERRUPTED]
    assert len(set(codes)) == 6
    assert all(code % 2 == 0 for code in codes)


def test_time_can_be_given_to_instructions(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--timeout-ns", "5000", "--ns-per-instruction", "10", "--portable"]
    assert boot([str(write(tmp_path, LOOP)), *arguments]) == ExitCode.LIMIT
    assert "5000 ns" in capfd.readouterr().err


# Boot information


def echo_command_line() -> bytes:
    """Code that sends the Multiboot 1 command line, then that of the first module and the module's first byte."""
    return bytes.fromhex(
        "66 ba f8 03"  # movw $0x3F8, %dx
        "8b 73 10"  # movl 16(%ebx), %esi: cmdline
        "ac 84 c0 74 03 ee eb f8"  # lodsb; testb %al, %al; jz; outb; jmp
        "8b 7b 18"  # movl 24(%ebx), %edi: mods_addr
        "8b 77 08"  # movl 8(%edi), %esi: string
        "ac 84 c0 74 03 ee eb f8"
        "8b 37 8a 06 ee"  # movl (%edi), %esi; movb (%esi), %al; outb
    ) + leave(0)


def test_command_line_and_modules_reach_the_kernel(tmp_path: Path) -> None:
    module = tmp_path / "module.bin"
    module.write_bytes(b"!!!")
    path = write(tmp_path, echo_command_line())
    ended = spawn(path, "--append", "verbose é ", "--module", f"{module},a, b", "--ram", "4M")
    assert ended == Ended(1, "verbose é a, b!".encode(), "")


@pytest.mark.parametrize(
    ("size", "upper_kib"),
    [
        ("2M", 1024),
        ("64m", 63 * 1024),
        ("1G", 1023 * 1024),
        ("4194304", 3072),
        ("0x400000", 3072),
        ("4076M", 4075 << 10),
    ],
)
def test_ram_has_the_size_asked_for(tmp_path: Path, size: str, upper_kib: int) -> None:
    # cmpl $upper_kib, 8(%ebx); setne %al; outb %al, $0xF4
    code = b"\x81\x7b\x08" + upper_kib.to_bytes(4, "little") + bytes.fromhex("0f 95 c0 e6 f4 f4")
    assert boot([str(write(tmp_path, code)), "--ram", size]) == 1


def test_ram_is_128_mib_unless_given(tmp_path: Path) -> None:
    code = b"\x81\x7b\x08" + (127 << 10).to_bytes(4, "little") + bytes.fromhex("0f 95 c0 e6 f4 f4")
    assert boot([str(write(tmp_path, code))]) == 1


def test_a_framebuffer_request_is_one_note(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kernel.elf"
    path.write_bytes(images.kernel1(4, *range(9)))
    assert boot([str(path)]) == images.EXIT_STATUS
    output, error = capfd.readouterr()
    assert output == ""
    assert error.startswith("note: the image asks for a graphics mode")
    assert error.count("\n") == 1


# Refusals: one line on standard error, exit code 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["IMAGE", "enclave-sim boot --help"]),
        (["--bogus", "kernel.elf"], ["--bogus"]),
        (["a", "b"], ["b"]),
        (["/nonesuch"], ["cannot read /nonesuch", "No such file"]),
        (["/"], ["cannot read /", "directory"]),
        (["bad\0name"], ["no file can have this name"]),
        (["empty"], ["cannot boot empty", "neither a Multiboot 2 header"]),
        (["kernel.elf", "--module", "/nonesuch,text"], ["cannot read /nonesuch:"]),
        (["kernel.elf", "--module", ""], ["--module: '' is not the name of a file"]),
        (["kernel.elf", "--timeout-ns", "soon"], ["--timeout-ns", "'soon'"]),
        (["kernel.elf", "--timeout-ns", "0"], ["--timeout-ns", "'0'"]),
        (["kernel.elf", "--timeout-ns", "-5"], ["--timeout-ns", "'-5'"]),
        (["kernel.elf", "--timeout-ns", str(1 << 64)], ["--timeout-ns"]),
        (["kernel.elf", "--ns-per-instruction", "0"], ["--ns-per-instruction"]),
        (["kernel.elf", "--ram", "lots"], ["--ram", "'lots' is not a size"]),
        (["kernel.elf", "--ram", ""], ["--ram"]),
        (["kernel.elf", "--ram", "M"], ["--ram"]),
        (["kernel.elf", "--ram", "-1G"], ["--ram"]),
        (["kernel.elf", "--ram", "1M"], ["--ram", "2M to 4076M"]),
        (["kernel.elf", "--ram", "5G"], ["--ram", "2M to 4076M"]),
        (["kernel.elf", "--ram", "99999999999999999999G"], ["--ram", "2M to 4076M"]),
        (["kernel.elf", "--ram", "4194305"], ["--ram", "4096"]),
        (["kernel.elf", "--append", "a\0b"], ["holds a NUL"]),
        (["kernel.elf", "--record", "/nonesuch/file"], ["/nonesuch"]),
    ],
)
def test_what_cannot_be_is_refused(
    kernel: Path,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    given = [str(kernel) if word == "kernel.elf" else word for word in arguments]
    assert boot(given) == ExitCode.USAGE
    output, error = capfd.readouterr()
    assert (output, error.count("\n")) == ("", 1)
    assert error.startswith("error: ")
    for word in words:
        assert word in error


def test_a_module_that_does_not_fit_is_refused(tmp_path: Path, kernel: Path, capfd: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "large"
    with module.open("wb") as file:
        file.truncate(200 << 20)
    assert boot([str(kernel), "--module", str(module)]) == ExitCode.USAGE
    assert "no room in 128 MiB of RAM for modules (209715200 bytes)" in capfd.readouterr().err


def test_control_characters_of_a_file_name_do_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    assert boot(["\x1b]0;owned\a"]) == ExitCode.USAGE
    assert "\\x1b]0;owned\\x07" in capfd.readouterr().err


def test_a_refusal_in_a_process_is_one_line_too() -> None:
    ended = spawn("/nonesuch")
    assert (ended.code, ended.output, ended.error.count("\n")) == (ExitCode.USAGE, b"", 1)


# Files for the kernel (fw_cfg)

READ_FIVE = bytes.fromhex("66 ba 10 05 66 b8 20 00 66 ef") + 5 * bytes.fromhex("66 ba 11 05 ec 66 ba f8 03 ee")
"""Select the first file of fw_cfg and send its first five bytes through COM1."""


def test_fw_cfg_files_reach_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"12345678")
    ended = spawn(write(tmp_path, READ_FIVE + leave(0)), "--fw-cfg", f"opt/test={tmp_path / 'data'}")
    assert (ended.code, ended.output, ended.error) == (1, b"12345", "")


@pytest.mark.parametrize(
    "words", ["opt/test", "=data", "opt/test=nowhere", "bad name=kernel.elf", f"{'x' * 60}=kernel.elf"]
)
def test_a_file_for_fw_cfg_that_cannot_be_is_one_line(kernel: Path, words: str) -> None:
    words = words.replace("kernel.elf", str(kernel))
    ended = spawn(kernel, "--fw-cfg", words)
    assert (ended.code, ended.output) == (ExitCode.USAGE, b"")
    assert len(ended.error.splitlines()) == 1
    assert "Traceback" not in ended.error
