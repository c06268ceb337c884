"""`enclave-sim run`: the output for people, help, progress, and the imports that these need."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import payloads
from enclave_sim.cli.app import app
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.output.render import Presentation, render
from enclave_sim.cli.output.watch import Watch
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.events import CycleBegan, HostReturned, SignalEmitted
from enclave_sim.payload.signature import strip
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.text import binary_size, one_line
from firmware import built_in
from tests.enclave_sim.cli.runs.run_command import DIGEST, PHASES, result_of, run, spawn

# Output for people


def test_the_page_shows_the_run() -> None:
    page = run("beacon", "--cycles", "2").output
    for words in (
        *PHASES,
        "Architecture Locked",
        "Active Execution",
        "software interrupt",
        "ARCH_LOCKED MEM_SANITIZED",
        "0x0000019f",
        "2 quotes accepted",
        "A7",
        "power unit dormant",
        "machine_check_stack",
        "guard",
        "not mapped",
        "none in 16 MiB of RAM",
        Enclave("beacon", cycles=2).run().digest,
    ):
        assert words in page
    assert len(DIGEST.findall(page)) == 3


def test_a_page_fits_80_columns_and_has_no_escapes_in_a_pipe() -> None:
    ended = spawn("run", "counter", "--cycles", "12")
    assert "\x1b" not in ended.output
    assert max(map(len, ended.output.splitlines())) <= 80
    assert not re.search(r"[ \t]\n", ended.output)


@pytest.mark.parametrize("columns", ["1", "24", "40", "59", "131", "132", "250"])
def test_any_width_will_do(columns: str) -> None:
    ended = run("beacon", COLUMNS=columns)
    assert ended.code == ExitCode.OK
    assert max(map(len, ended.output.splitlines())) <= max(int(columns), 1)


@pytest.mark.slow
def test_no_color_has_no_colours_even_on_a_terminal() -> None:
    coloured = spawn("run", FORCE_COLOR="1", TERM="xterm-256color").output
    plain = spawn("run", FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1").output
    assert re.search(r"\x1b\[[0-9;]*32m", coloured)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)


@pytest.mark.slow
def test_a_terminal_of_ascii_gets_ascii() -> None:
    ended = spawn("run", "counter", PYTHONIOENCODING="ascii")
    assert ended.code == ExitCode.OK
    assert "0 -> 3" in ended.output
    assert "\\u" not in ended.output


def test_a_rejected_payload_shows_the_check_and_what_would_be_right(tmp_path: Path) -> None:
    module = tmp_path / "unsigned.wasm"
    module.write_bytes(strip(payloads.read("beacon")))
    page = run(module).output
    for words in ("PAYLOAD_REJECTED", "UNSIGNED", "the module carries a signature section", "not entered"):
        assert words in page


def test_a_value_is_called_a_status_word_only_if_it_was_one(guest: Any, tmp_path: Path) -> None:
    module = tmp_path / "guest.wasm"
    module.write_bytes(guest('(func (export "_start") (call $emit_signal (i32.const 0x18f)))'))
    page = run(module).output
    assert "0x0000018f" in page
    assert "ARCH_LOCKED" not in page


PRESENTATION = Presentation(("beacon",), 1, frozenset(), None)


def page_of(result: RunResult) -> str:
    return render(result, PRESENTATION).decode(sys.stdout.encoding or "utf-8")


def test_the_page_names_the_kernel_that_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "other.elf").write_bytes(built_in().image)
    assert "\n firmware     mine/other.elf\n" in run("beacon", "--firmware", "mine/other.elf").output
    assert "\n firmware     aether.elf\n" in run("beacon").output


def test_residue_is_shown_byte_by_byte() -> None:
    found = ({"region": "heap", "base": 0xC00010, "bytes": b"secret".hex()},)
    page = page_of(result_of(residue_bytes=6, residue=found))
    assert "6 bytes should not be there" in page
    assert "73 65 63 72 65 74" in page
    assert "secret" in page


def test_much_residue_is_cut_short() -> None:
    found = tuple({"region": "heap", "base": 0xC00000 + 4096 * i, "bytes": "aa" * 100} for i in range(9))
    page = page_of(result_of(residue_bytes=900, residue=found))
    assert "36 more bytes" in page
    assert "5 more ranges" in page


def test_a_rejection_for_an_unknown_key_says_how_to_add_a_trust_anchor() -> None:
    advice = "add the signer's with --trust-anchor NAME.anchor.json"
    assert advice in page_of(result_of(outcome="PAYLOAD_REJECTED", detail="UNKNOWN_KEY: no trust anchor has it"))
    assert advice not in page_of(result_of(outcome="PAYLOAD_REJECTED", detail="BAD_ED25519: it is not valid"))


def test_what_a_payload_says_cannot_control_the_terminal() -> None:
    page = page_of(result_of(outcome="PAYLOAD_REJECTED", detail="PROFILE: import \x1b[2J\n[bold]x[/bold]"))
    assert "\x1b[2J" not in page
    assert "[bold]x[/bold]" in page


def test_many_signals_are_cut_short() -> None:
    assert "984 more" in page_of(result_of(signals=tuple(range(1000))))


def test_a_run_out_of_time_has_no_residue_to_speak_of() -> None:
    ended = run("spinner", "--limit-ns", "1_000_000")
    assert "not scanned" in ended.output
    assert "Annihilation" not in ended.output


def test_several_payloads_are_all_named() -> None:
    page = run("beacon", "counter", "--cycles", "2").output
    assert len(DIGEST.findall(page)) == 4


@pytest.mark.parametrize(
    ("size", "words"),
    [(4096, "4 KiB"), (3 << 19, "1.5 MiB"), (832 << 10, "832 KiB"), (1 << 24, "16 MiB"), (7, "7 B")],
)
def test_sizes_are_short(size: int, words: str) -> None:
    assert binary_size(size) == words


def test_one_line_is_one_printable_line() -> None:
    assert one_line("a\nb\t\x07c") == "a b \\x07c"


# Help


@pytest.mark.parametrize("arguments", [[], ["--help"], ["run", "--help"], ["payload", "--help"]])
def test_every_help_has_something_to_say(arguments: list[str]) -> None:
    ended = spawn(*arguments)
    assert (ended.code, ended.error) == (0, "")
    assert "Usage: enclave-sim" in ended.output or "Usage: python -m enclave_sim" in ended.output


def test_the_help_of_run_shows_exit_codes_and_an_example() -> None:
    output = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "100"}).stdout
    assert "Example: enclave-sim run" in output
    for code in (0, 2, 3, 4, 5, 6, 7, 70):
        assert re.search(rf"^ +{code}  \w", output, re.MULTILINE)


def test_version() -> None:
    assert re.fullmatch(r"enclave-sim \d+\.\d+.*\n", spawn("--version").output)


# Imports, progress, interruption


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_rich_is_not_loaded_where_nothing_is_drawn(option: str) -> None:
    program = f"""
import atexit, sys
from enclave_sim.cli.main import main
atexit.register(lambda: print("rich.console" in sys.modules, file=sys.stderr))
sys.argv = ["enclave-sim", "run", {option!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "False\n"


def test_the_machine_is_not_loaded_for_help() -> None:
    program = "import sys, enclave_sim.cli.app; print([m for m in ('unicorn', 'wasmtime', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class Terminal:
    """A terminal's text stream that keeps what is drawn."""

    def __init__(self) -> None:
        self.drawn = ""

    def write(self, text: str) -> int:
        self.drawn += text
        return len(text)

    def flush(self) -> None:
        pass


def test_progress_is_drawn_after_a_second_and_erased_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("enclave_sim.cli.output.progress.perf_counter", lambda: now)
    terminal = Terminal()
    watch = Watch(3, terminal)  # type: ignore[arg-type]
    with watch.running():
        watch.record(CycleBegan(0, 0, 1))
        assert terminal.drawn == ""
        now += 1.0
        watch.record(HostReturned(1, 10, 0, 0x18F))
        assert "cycle 2 of 3" in terminal.drawn
        assert "1 host call " in terminal.drawn
        size = len(terminal.drawn)
        now += 0.05
        watch.record(SignalEmitted(2, 20, 5))
        assert len(terminal.drawn) == size
    assert terminal.drawn.endswith("\r\x1b[K")
    assert watch.status_words == {0x18F}


@pytest.mark.slow
def test_without_a_terminal_there_is_no_progress() -> None:
    assert spawn("run", "beacon", "--cycles", "2").error == ""
