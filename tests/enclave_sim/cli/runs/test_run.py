"""`enclave-sim run`: exit codes, refusals, and output for programs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pytest

import payloads
from enclave_sim.attestation import ReferenceValues
from enclave_sim.cli import main as command_line
from enclave_sim.cli import signals, streams
from enclave_sim.cli.exit_codes import ExitCode, of_run
from enclave_sim.cli.runs import run as run_module
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import KernelDied
from enclave_sim.inputs import AfterEvent, AnyInput, Tamper
from enclave_sim.payload.keys import SigningKey
from enclave_sim.payload.signature import sign, strip
from enclave_sim.recording.format import Trailer
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.reader import RecordingFile, read_events, read_header
from tests.enclave_sim.cli.command import command
from tests.enclave_sim.cli.runs.run_command import PHASES, Ended, assert_refused, result_of, run, spawn

KEYS = """outcome phases signals cycles transitions host_calls preemptions residue_bytes halted virtual_ns digest
firmware_sha256 payload_sha256""".split()


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
    monkeypatch.setattr(streams, "protect", lambda: None)
    monkeypatch.setattr(signals, "tidy_up_first", lambda: None)
    with pytest.raises(SystemExit) as exit_:
        command_line.main()
    assert exit_.value.code == ExitCode.DEFECT
    assert "Traceback" in capsys.readouterr().err


# Mistakes of a user


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
        (["--sensor0", "0x100000000"], ["sensor0 is 4294967296; it must be 0 to 4294967295"]),
        (["--sensor1", "-1"], ["sensor1 is -1"]),
        (["--limit-ns", "0"], ["--limit-ns", "at least 1"]),
        (["--quantum-ns", "1"], ["--quantum-ns is 1 ns; it must be 1000 to "]),
        (["--attestation", "perhaps"], ["perhaps"]),
        (["--feature", "threads"], ["threads", "simd"]),
        (["--json", "--quiet"], ["--json", "--quiet"]),
        (["--record", "-"], ["cannot record to -", "needs a file"]),
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


@pytest.mark.slow
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
    run("counter", "--record", path)
    assert run("beacon", "--quiet", "--record", path).output.endswith(f"{trailer(path).sha256}\n")


def test_a_recording_needs_its_directory(tmp_path: Path) -> None:
    assert_refused(run("--record", tmp_path / "none" / "run.jsonl"), "there is no directory")
    assert_refused(run("--record", tmp_path), "directory")
    assert os.listdir(tmp_path) == []


def test_a_failed_run_leaves_the_old_recording_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run("beacon", "--record", path)
    before = path.read_bytes()
    assert_refused(run("nonesuch", "--record", path))
    assert path.read_bytes() == before
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
    assert run("counter", "--cycles", "2", "--inputs", script, "--quiet").output == f"TAMPER {result.digest}\n"


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
    assert_refused(
        run("beacon", "--inputs", script, "--record", record), "inputs.toml, input 1 (tamper): at: '5 m' is not"
    )
    assert_refused(run("beacon", "--inputs", tmp_path / "none.toml"), "cannot read", "none.toml: No such file")
    assert not record.exists()


def test_the_page_on_inputs_names_every_kind() -> None:
    page = (Path(__file__).parents[4] / "docs/inputs.md").read_text("utf-8")
    table = page[page.index("| `kind` | Keys |") :].partition("\n\n")[0]
    _, *kinds = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert kinds == [kind.__struct_config__.tag for kind in get_args(AnyInput)]


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, -15), (signal.SIGHUP, -1)]
)
def test_an_interrupted_run_keeps_its_recording_so_far(number: signal.Signals, code: int, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    arguments = ["run", "spinner", "--cycles", "10000", "--record", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "enclave_sim", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while not any(file.stat().st_size > 200_000 for file in tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    try:
        output, error = process.communicate(timeout=300)
    finally:
        process.kill()
        process.wait()
    file = RecordingFile(path)
    count = len(list(file))
    said = f"note: {path} has the {count:,} events until the interruption\ninterrupted\n"
    assert (process.returncode, output, error) == (code, "", said)
    assert file.trailer is not None
    assert file.trailer.interrupted
    assert os.listdir(tmp_path) == ["run.jsonl"]
    again = command("replay", path)
    assert again.output == f"equal: {count:,} events until the run was interrupted, digest {file.trailer.sha256}\n"


def test_a_host_limit_keeps_the_recording_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.jsonl"

    def clock() -> float:
        return 2.0 if any(file.stat().st_size > 100_000 for file in tmp_path.iterdir()) else 0.0

    monkeypatch.setattr("machine.host_limit.monotonic", clock)
    ended = run("spinner", "--cycles", "10000", "--host-limit", "1s", "--record", path)
    file = RecordingFile(path)
    count = len(list(file))
    note, stopped = ended.error.splitlines()
    assert (ended.code, ended.output) == (ExitCode.HOST_LIMIT, "")
    assert note == f"note: {path} has the {count:,} events until the host limit"
    assert stopped.startswith("stopped: the host limit is reached at ")
    assert file.trailer is not None
    assert file.trailer.interrupted
    monkeypatch.undo()
    again = command("replay", path)
    assert again.output == f"equal: {count:,} events until the run was interrupted, digest {file.trailer.sha256}\n"


def test_a_recording_is_replaced_and_that_is_said_and_no_other_file_is(tmp_path: Path) -> None:
    path, other = tmp_path / "run.jsonl", tmp_path / "notes.txt"
    path.touch()
    assert run("beacon", "--quiet", "--record", path).error == ""
    before = path.read_bytes()
    assert run("beacon", "--quiet", "--record", path).error == f"note: replaced the recording in {path}\n"
    assert path.read_bytes() == before
    other.write_text("mine")
    assert_refused(run("beacon", "--record", other), "notes.txt: it exists and is not a recording")
    assert other.read_text() == "mine"


@pytest.mark.slow
def test_a_reader_that_has_gone_is_not_an_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "enclave_sim", "run", "divider"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=300) == ExitCode.GUEST_FAULT


def test_a_text_file_in_the_place_of_a_payload_is_told_where_it_belongs(tmp_path: Path) -> None:
    """`tests/enclave_sim/cli/test_usage.py` has recordings."""
    (tmp_path / "own.wat").write_text("(module)")
    advice = "compile and sign it first (enclave-sim payload sign)"
    assert_refused(run(tmp_path / "own.wat"), f"is text, not a WebAssembly module; {advice}")
