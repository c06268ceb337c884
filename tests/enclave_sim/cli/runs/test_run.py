"""`enclave-sim run`: what it prints, what it writes, and with which code it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

import payloads
from enclave_sim.attestation import ReferenceValues
from enclave_sim.cli import main as command_line
from enclave_sim.cli.app import app
from enclave_sim.cli.exit_codes import ExitCode, of_run
from enclave_sim.cli.output.render import Presentation, render
from enclave_sim.cli.output.watch import Watch
from enclave_sim.cli.runs import run as run_module
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import KernelDied
from enclave_sim.events import CycleBegan, HostReturned, SignalEmitted
from enclave_sim.inputs import AfterEvent, AnyInput, Tamper
from enclave_sim.payload.keys import SigningKey
from enclave_sim.payload.signature import sign, strip
from enclave_sim.recording.format import Trailer
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.reader import read_events, read_header
from enclave_sim.recording.text import binary_size, one_line

KEYS = """outcome phases signals cycles transitions host_calls preemptions residue_bytes halted virtual_ns digest
firmware_sha256 payload_sha256""".split()
PHASES = ["PROT_ENTRY", "MEM_MAP", "WASM_INIT", "EXEC_LOOP"]
DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    error: str


def run(*arguments: str | Path, **environment: str) -> Ended:
    """Run the command in this process."""
    words = ["run", *map(str, arguments)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "80", **environment})
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def spawn(*arguments: str | Path, **environment: str) -> Ended:
    """Run the command as a process."""
    done = subprocess.run(
        [sys.executable, "-m", "enclave_sim", *map(str, arguments)],
        capture_output=True,
        check=False,
        env=os.environ | {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8"} | environment,
    )
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    return Ended(done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding))


def assert_refused(ended: Ended, *words: str) -> None:
    """One line on standard error, nothing on standard output, exit code 2."""
    assert ended.code == ExitCode.USAGE
    assert ended.output == ""
    assert ended.error.startswith("error: ")
    assert ended.error.count("\n") == 1
    for word in words:
        assert word in ended.error


# Exit codes


@pytest.mark.parametrize(
    ("arguments", "outcome", "code"),
    [
        (["beacon"], "COMPLETED", 0),
        (["shredder"], "SHRED_SELF", 0),
        (["beacon", "--production"], "PAYLOAD_REJECTED", 3),
        (["divider"], "GUEST_FAULT", 4),
        (["trespasser"], "GUEST_FAULT", 4),
        (["beacon", "--arena-bytes", "0"], "KERNEL_FAULT", 5),
        (["beacon", "--attestation", "require", "--reference", "NOTHING"], "ATTESTATION_REFUSED", 5),
        (["spinner", "--limit-ns", "1_000_000"], "LIMIT", 6),
    ],
)
def test_the_exit_code_tells_the_outcome(arguments: list[str], outcome: str, code: int, tmp_path: Path) -> None:
    ReferenceValues().save(tmp_path / "nothing.json")
    arguments = [str(tmp_path / "nothing.json") if word == "NOTHING" else word for word in arguments]
    ended = run(*arguments, "--quiet")
    assert (ended.code, ended.error) == (code, "")
    assert re.fullmatch(rf"{outcome} [0-9a-f]{{64}}\n", ended.output)


def result_of(payload: str = "beacon", **changes: Any) -> RunResult:
    """The result of a run, altered."""
    fields = {name: getattr(Enclave(payload).run(), name) for name in RunResult.__struct_fields__}
    return RunResult(**(fields | changes))


def test_tampering_ends_like_a_kernel_fault() -> None:
    enclave = Enclave("beacon")
    enclave.boot()
    enclave.tamper()
    result = enclave.run()
    assert (result.outcome, of_run(result)) == ("TAMPER", ExitCode.KERNEL_FAULT)


@pytest.mark.parametrize("outcome", ["COMPLETED", "GUEST_FAULT", "KERNEL_FAULT", "LIMIT"])
def test_residue_is_the_worst_exit_code(outcome: str) -> None:
    assert of_run(result_of(outcome=outcome, residue_bytes=1)) is ExitCode.RESIDUE


def test_a_kernel_that_dies_is_a_defect_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_enclave: Enclave, _limit_ns: int | None = None) -> RunResult:
        raise KernelDied("the kernel stopped")

    monkeypatch.setattr(Enclave, "run", die)
    assert run("beacon") == Ended(70, "", "error: the kernel stopped\n")


def test_a_defect_of_the_emulator_is_loud(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_arguments: Any) -> None:
        raise ZeroDivisionError("not the user's doing")

    monkeypatch.setattr(run_module, "_run", fail)
    monkeypatch.setattr(sys, "argv", ["enclave-sim", "run"])
    with pytest.raises(SystemExit) as exit_:
        command_line.main()
    assert exit_.value.code == ExitCode.DEFECT
    assert "Traceback" in capsys.readouterr().err


# What a user can get wrong


def test_an_unknown_payload_is_refused_with_the_names_there_are() -> None:
    assert_refused(run("nonesuch"), "nonesuch", *payloads.names())


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert_refused(run(tmp_path), str(tmp_path), "directory")


@pytest.mark.parametrize(("content", "word"), [(b"", "empty"), (b"hello\n", "text"), (b"(module)", "text")])
def test_a_file_that_cannot_be_a_payload_is_refused(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "guest.wasm"
    path.write_bytes(content)
    assert_refused(run(path), str(path), word)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bogus"], ["--bogus"]),
        (["--cycles", "many"], ["--cycles", "many"]),
        (["--cycles", "0"], ["cycles", "1 to"]),
        (["--cycles", ""], ["--cycles"]),
        (["--sensor0", "0x100000000"], ["32 bits"]),
        (["--limit-ns", "0"], ["--limit-ns", "at least 1"]),
        (["--quantum-ns", "1"], ["quantum_ns"]),
        (["--attestation", "perhaps"], ["perhaps"]),
        (["--feature", "threads"], ["threads", "simd"]),
        (["--json", "--quiet"], ["--json", "--quiet"]),
        (["--trust-anchor", "/nonesuch.anchor.json"], ["/nonesuch.anchor.json"]),
        (["beacon"] * 9, ["9 payloads"]),
    ],
)
def test_a_bad_option_is_refused(arguments: list[str], words: list[str]) -> None:
    assert_refused(run(*arguments), *words)


def test_a_refusal_in_a_process_is_one_line_too() -> None:
    assert_refused(spawn("run", "nonesuch"), "nonesuch")
    assert_refused(spawn("nonesuch"), "nonesuch")


def test_control_characters_of_a_file_name_do_not_reach_the_terminal() -> None:
    assert_refused(run("\x1b]0;owned\a"), "\\x1b]0;owned\\x07")


# Trust


def test_a_trust_anchor_given_is_accepted_in_production(tmp_path: Path) -> None:
    key = SigningKey.generate("alice", development=False)
    key.anchor().save(tmp_path / "alice.anchor.json")
    module = tmp_path / "guest.wasm"
    module.write_bytes(sign(strip(payloads.read("beacon")), key))
    assert run(module, "--quiet").code == ExitCode.REJECTED
    trusted = run(module, "--quiet", "--production", "--trust-anchor", tmp_path / "alice.anchor.json")
    assert trusted.code == ExitCode.OK


# JSON


def test_json_is_one_object_and_nothing_else() -> None:
    ended = run("beacon", "--cycles", "2", "--json")
    assert (ended.code, ended.error, ended.output.count("\n")) == (0, "", 1)
    told = json.loads(ended.output)
    assert told.keys() >= set(KEYS)
    assert [phase["name"] for phase in told["phases"]] == PHASES
    assert all(phase["state"] and isinstance(phase["at_ns"], int) for phase in told["phases"])
    assert (told["outcome"], told["cycles"], told["residue_bytes"], told["halted"]) == ("COMPLETED", 2, 0, True)
    assert len(told["signals"]) == 2


def test_json_agrees_with_the_python_interface() -> None:
    expected = Enclave("counter", cycles=2, sensors=(0x10, 2), wake_ns=5000).run()
    options = "--cycles 2 --sensor0 0x10 --sensor1 2 --wake-ns 5_000 --json".split()
    assert run("counter", *options).output == f"{expected.to_json()}\n"


def test_json_of_a_rejected_payload_names_the_check() -> None:
    told = json.loads(run("beacon", "--production", "--json").output)
    assert told["detail"].startswith("DEVELOPMENT_KEY: ")


def test_the_portable_run_has_the_same_digest() -> None:
    assert run("counter", "--quiet").output == run("counter", "--quiet", "--portable").output


# Recordings


def trailer(path: Path) -> Trailer:
    import msgspec

    return msgspec.json.decode(path.read_bytes().splitlines()[-1], type=Trailer)


@pytest.mark.parametrize(
    ("arguments", "limit_ns"),
    [(["counter"], None), (["abyss", "--limit-ns", "1_000_000_000"], None), (["spinner", "--limit-ns", "3000"], 3000)],
)
def test_a_recording_ends_with_the_digest_that_is_printed(
    tmp_path: Path, arguments: list[str], limit_ns: int | None
) -> None:
    path = tmp_path / "run.jsonl"
    ended = run(*arguments, "--record", path, "--json")
    told = json.loads(ended.output)
    assert trailer(path) == Trailer(told["events"], told["digest"], limit_ns)
    assert len(list(read_events(path))) == told["events"]
    assert read_header(path).firmware_sha256 == told["firmware_sha256"]
    assert os.listdir(tmp_path) == ["run.jsonl"]


def test_a_recording_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("old")
    assert run("beacon", "--quiet", "--record", path).output.endswith(f"{trailer(path).sha256}\n")


def test_a_recording_needs_its_directory(tmp_path: Path) -> None:
    assert_refused(run("--record", tmp_path / "none" / "run.jsonl"), "there is no directory")
    assert_refused(run("--record", tmp_path), "directory")
    assert os.listdir(tmp_path) == []


def test_a_failed_run_leaves_the_old_recording_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("old")
    assert_refused(run("nonesuch", "--record", path))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["run.jsonl"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line() -> None:
    assert_refused(run("--record", "/dev/full"), "/dev/full", "No space left")
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "enclave_sim", "run"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (ExitCode.USAGE, 1)
    assert done.stderr.startswith(b"error: cannot write to standard output")


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


def test_what_a_payload_says_cannot_control_the_terminal() -> None:
    page = page_of(result_of(outcome="PAYLOAD_REJECTED", detail="PROFILE: import \x1b[2J\n[bold]x[/bold]"))
    assert "\x1b[2J" not in page
    assert "[bold]x[/bold]" in page


def test_many_signals_are_cut_short() -> None:
    assert "984 more" in page_of(result_of(signals=tuple(range(1000))))


def test_a_run_out_of_time_has_no_residue_to_speak_of() -> None:
    ended = run("spinner", "--limit-ns", "1_000_000")
    assert "not looked for" in ended.output
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


# Lightness, progress, interruption


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
    """Looks like a text stream; keeps what is drawn."""

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


# Input scripts


def test_an_input_script_is_part_of_the_run_and_of_its_recording(tmp_path: Path) -> None:
    script, path = tmp_path / "inputs.toml", tmp_path / "run.jsonl"
    script.write_text('[[input]]\nkind = "tamper"\nafter = { event = "cycle_began", cycle = 1 }\ndelay = "500 ns"\n')
    ended = run("counter", "--cycles", "2", "--inputs", script, "--record", path, "--json")
    assert ended.code == ExitCode.KERNEL_FAULT
    assert ended.error == ""
    inputs = [Tamper(at_ns=500, after=AfterEvent("cycle_began", {"cycle": 1}))]
    result = Enclave("counter", cycles=2, inputs=inputs).run()
    assert json.loads(ended.output)["digest"] == result.digest
    assert list(read_header(path).inputs) == inputs
    assert run("counter", "--cycles", "2", "--inputs", script, "--portable", "--quiet").output == (
        f"TAMPER {result.digest}\n"
    )


def test_a_script_names_guests_of_the_engine(tmp_path: Path) -> None:
    script = tmp_path / "inputs.toml"
    script.write_text(
        """[[input]]
        kind = "guest_replaced"
        after = { event = "phase_completed", phase = "EXEC_LOOP" }
        payload = 0
        guest = "stray"
        """
    )
    ended = run("quitter", "--engine", "native", "--inputs", script, "--json")
    expected = Enclave("stray", engine="native").run()
    assert json.loads(ended.output)["outcome"] == expected.outcome
    assert_refused(run("beacon", "--inputs", script), "inputs.toml, input 1 (guest_replaced)", "'stray'")


def test_a_script_that_is_wrong_runs_nothing(tmp_path: Path) -> None:
    script = tmp_path / "inputs.toml"
    script.write_text('[[input]]\nkind = "tamper"\nat = "5 m"\n')
    record = tmp_path / "run.jsonl"
    assert_refused(run("beacon", "--inputs", script, "--record", record), "inputs.toml, input 1 (tamper): at is '5 m'")
    assert_refused(run("beacon", "--inputs", tmp_path / "none.toml"), "cannot read", "none.toml: No such file")
    assert not record.exists()


@pytest.mark.slow
def test_the_page_on_inputs_shows_what_happens(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs/inputs.md").read_text("utf-8")
    name, text = re.findall(r"^`(\S+\.toml)` .*?```toml\n(.*?)```", page, re.S | re.M)[0]
    command, printed = re.findall(r"```console\n\$ enclave-sim (.*?)\n(.*?)\.\.\.\n```", page, re.S)[0]
    (program,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / name).write_text(text)
    words = [sys.executable, "-m", "enclave_sim", *command.split()]
    shown = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False, text=True)
    assert re.fullmatch(rf"{printed}[0-9a-f]{{64}}\n", shown.stdout)
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert ran.stdout == f"{printed.strip()}\n"
    _, *kinds = re.findall(r"^\| `(\w+)` \|", page, re.M)
    assert kinds == [kind.__struct_config__.tag for kind in get_args(AnyInput)]


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_run_with_one_line_and_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    arguments = ["run", "spinner", "--cycles", "10000", "--record", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "enclave_sim", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while not any(file.stat().st_size > 200_000 for file in tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        output, error = process.communicate(timeout=3000)
    finally:
        process.kill()
    assert (process.returncode, output, error) == (ExitCode.INTERRUPTED, "", "interrupted\n")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_reader_that_has_gone_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "enclave_sim", "run", "divider"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=300) == ExitCode.GUEST_FAULT
