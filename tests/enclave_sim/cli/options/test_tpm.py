"""`--tpm`: the TPM of a run, and the file with a model's keys and reset count."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options.tpm import TpmChoice, chosen_tpm
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import Quoted
from enclave_sim.recording.reader import read_events
from tests.enclave_sim.cli.command import Ended, assert_refused, command


def choose_tpm(text: str) -> TpmChoice:
    with chosen_tpm(text) as chosen:
        return chosen


COMMANDS = [
    ("run", "beacon", "--quiet"),
    ("attest", "beacon", "--nonce", "00" * 32, "-o", "out"),
    ("reference-values", "beacon", "-o", "out"),
]


def run(tpm: str, *more: str | Path) -> Ended:
    return command("run", "beacon", "--quiet", "--tpm", tpm, *more)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tpm.json"


def resets(path: Path) -> int:
    return int(json.loads(path.read_bytes())["resets"])


def test_the_model_is_always_the_same_and_as_if_new() -> None:
    assert choose_tpm("model") == TpmChoice()
    assert run("model").output == run("model").output == command("run", "beacon", "--quiet").output


def test_a_model_in_a_file_is_made_if_missing_and_counts_its_resets(file: Path, tmp_path: Path) -> None:
    told = []
    for number in range(1, 4):
        recording = tmp_path / f"{number}.jsonl"
        assert run(f"model:{file}", "--record", recording).code == ExitCode.OK
        told += [event.reset_count for event in read_events(recording) if isinstance(event, Quoted)]
        assert resets(file) == number
    assert told == [1, 1, 2, 2, 3, 3]
    content = json.loads(file.read_bytes())
    assert (content["format"], len(content["seed"])) == ("aether-tpm-model/1", 64)


def test_nobody_else_reads_its_file_which_holds_the_keys(file: Path) -> None:
    umask = os.umask(0)
    try:
        for _ in range(2):
            choose_tpm(f"model:{file}")
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            file.chmod(0o644)  # as written by earlier versions
    finally:
        os.umask(umask)


@pytest.mark.slow
def test_of_runs_that_begin_at_once_each_counts_a_reset_of_its_own(file: Path) -> None:
    choose = "from enclave_sim.cli.options.tpm import chosen_tpm\nimport sys\n"
    choose += "for _ in range(300):\n with chosen_tpm(sys.argv[1]) as c: print(c.model.resets)\n"
    arguments = [sys.executable, "-c", choose, f"model:{file}"]
    started = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    counts = [int(line) for one in started for line in one.communicate()[0].splitlines()]
    assert sorted(counts) == list(range(900))
    assert resets(file) == 900


def test_its_keys_stay_and_those_of_another_file_are_others(tmp_path: Path) -> None:
    names = []
    for name in ("one", "one", "two"):
        ended = command("reference-values", "beacon", "--tpm", f"model:{tmp_path / name}")
        names.append(json.loads(ended.output)["ak_names"])
    assert names[0] == names[1] != names[2]
    assert json.loads(command("reference-values", "beacon").output)["ak_names"] not in names


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_every_command_that_has_a_tpm_counts_a_reset(
    arguments: tuple[str, ...], file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        assert command(*arguments, "--tpm", f"model:{file}").code == ExitCode.OK
        assert resets(file) == number


@pytest.mark.parametrize(
    "text", ["", "model:", "models", "model2", "swtpm", "swtpm:", "Model", "swtpm2:/x", "tpm0", "\n", "model\n", ":"]
)
def test_what_is_not_a_tpm_is_refused(text: str) -> None:
    assert_refused(run(text), "is not a TPM; it must be model, model:FILE or swtpm:SOCKET[,CONTROL]")


GOOD = {"format": "aether-tpm-model/1", "seed": "ab", "resets": 3}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff\xfe",
        b'{"format":',
        b"[" * 100_000,
        json.dumps({**GOOD, "format": "aether-tpm-model/2"}).encode(),
        json.dumps({**GOOD, "resets": -1}).encode(),
        json.dumps({**GOOD, "resets": 2**32 - 1}).encode(),
        json.dumps({**GOOD, "resets": 1.5}).encode(),
        json.dumps({**GOOD, "resets": "3"}).encode(),
        json.dumps({**GOOD, "seed": None}).encode(),
        json.dumps({**GOOD, "more": 1}).encode(),
        json.dumps({"format": GOOD["format"], "seed": "ab"}).encode(),
    ],
    ids=lambda content: content[:60],
)
def test_a_file_that_is_none_of_a_model_is_refused_and_left_as_it_was(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    assert_refused(run(f"model:{file}"), str(file), "is not the file of a TPM model (aether-tpm-model/1)")
    assert file.read_bytes() == content
    assert os.listdir(file.parent) == [file.name]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_file_is_a_model_or_refused_in_one_line(content: bytes | str, file: Path) -> None:
    data = content.encode() if isinstance(content, str) else content
    file.write_bytes(data)
    with pytest.raises(ConfigurationError) as raised:
        choose_tpm(f"model:{file}")
    assert "\n" not in str(raised.value)
    assert file.read_bytes() == data


def test_a_tpm_that_has_been_reset_as_often_as_can_be_counted_is_refused(file: Path) -> None:
    file.write_text(json.dumps({**GOOD, "resets": 2**32 - 3}))
    assert run(f"model:{file}").code == ExitCode.OK
    before = file.read_bytes()
    assert_refused(run(f"model:{file}"), "has been reset 4294967294 times")
    assert file.read_bytes() == before


@pytest.mark.parametrize("place", ["", "missing/tpm.json", "a" * 300, "file/tpm.json"])
def test_a_place_where_no_file_can_be_is_refused_in_one_line(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(run(f"model:{tmp_path}/{place}"), "cannot ")
    assert os.listdir(tmp_path) == ["file"]


def test_the_file_is_never_half_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the file is renamed."""
    assert run(f"model:{file}").code == ExitCode.OK
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        assert_refused(run(f"model:{file}"), "cannot write", "No space left on device")
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]
    assert run(f"model:{file}").code == ExitCode.OK


def test_whoever_reads_it_while_others_count_finds_it_whole(file: Path) -> None:
    choose_tpm(f"model:{file}")
    stop = threading.Event()
    seen: list[int] = []

    def look() -> None:
        while not stop.is_set():
            seen.append(resets(file))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(100):
        choose_tpm(f"model:{file}")
    stop.set()
    reader.join()
    assert seen == sorted(seen)
    assert resets(file) == 101


def test_a_swtpm_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for text in (f"swtpm:{tmp_path}/none", f"swtpm:{tmp_path}/none,{tmp_path}/control", f"swtpm:{'a' * 300}"):
        for arguments in COMMANDS:
            assert_refused(command(*arguments, "--tpm", text), "swtpm: cannot connect to ")
    assert os.listdir(tmp_path) == []
