"""`enclave-sim replay`: output and exit codes."""

import json
from pathlib import Path

import pytest

import payloads
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.payload.keys import SigningKey
from enclave_sim.payload.signature import sign, strip
from enclave_sim.recording.reader import read_events, read_header
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.forging import Line, forge
from tests.sampling import sampled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    assert command("run", "counter", "--cycles", "2", "--record", tmp_path / "run.jsonl").code == 0
    return tmp_path / "run.jsonl"


def spoil(lines: list[Line]) -> None:
    lines[40]["at_ns"] += 1


def test_the_same_run_is_one_line_with_its_digest(path: Path) -> None:
    ended = command("replay", path)
    digest = command("run", "counter", "--cycles", "2", "--quiet").output.split()[1]
    assert (ended.code, ended.error) == (0, "")
    assert ended.output == f"equal: {len(list(read_events(path)))} events, digest {digest}\n"


@pytest.mark.parametrize(
    "options",
    sampled(
        [
            ["spinner", "--limit-ns", "30_000_000"],
            ["surveyor", "--engine", "native"],
            ["beacon", "--production", "--attestation", "require"],
            ["counter", "digest", "--cycles", "4", "--sensor0", "7", "--feature", "simd"],
            ["counter", "digest", "--cycles", "4", "--sensor0", "7", "--feature", "simd", "--portable"],
        ],
        ["surveyor", "--engine", "native"],
        ["beacon", "--production", "--attestation", "require"],
        ["counter", "digest", "--cycles", "4", "--sensor0", "7", "--feature", "simd"],
    ),
    ids=" ".join,
)
def test_whatever_run_records_can_be_replayed(options: list[str], tmp_path: Path) -> None:
    ran = command("run", *options, "--quiet", "--record", tmp_path / "run.jsonl")
    ended = command("replay", tmp_path / "run.jsonl", "--json")
    outcome, digest = ran.output.split()
    told = json.loads(ended.output)
    assert (ended.code, told["equal"], told["divergence"]) == (0, True, None)
    assert (told["outcome"], told["digest"]) == (outcome, digest)


def test_a_run_by_ones_own_key_needs_no_file_but_the_recording(tmp_path: Path) -> None:
    key = SigningKey.generate("own", development=False)
    key.anchor().save(tmp_path / "own.anchor.json")
    (tmp_path / "own.wasm").write_bytes(sign(strip(payloads.read("counter")), key))
    options: list[str | Path] = [
        "--production",
        "--trust-anchor",
        tmp_path / "own.anchor.json",
        "--record",
        tmp_path / "run.jsonl",
    ]
    assert command("run", tmp_path / "own.wasm", *options).code == 0
    for name in ("own.anchor.json", "own.wasm"):
        (tmp_path / name).unlink()
    assert command("replay", tmp_path / "run.jsonl").code == 0
    assert b"25519_seed" not in (tmp_path / "run.jsonl").read_bytes()


def test_a_divergence_is_shown_beside_its_neighbours(path: Path) -> None:
    ended = command("replay", forge(path, spoil))
    assert (ended.code, ended.error) == (ExitCode.DIVERGED, "")
    lines = ended.output.splitlines()
    assert lines[0].startswith("DIVERGED: ")
    assert "at event 39" in lines[0]
    marked = [(line[0], line.split()[1]) for line in lines[3:]]
    numbers = [line.split()[0] for line in lines[3:6]]
    assert numbers == ["36", "37", "38"]
    assert marked[3:] == [(mark, str(number)) for mark in "-+" for number in (39, 40, 41, 42)]
    assert "\x1b" not in ended.output


def test_a_divergence_as_json(path: Path) -> None:
    ended = command("replay", forge(path, spoil), "--json")
    assert ended.code == ExitCode.DIVERGED
    told = json.loads(ended.output)
    assert not told["equal"]
    divergence = told["divergence"]
    assert divergence["first"][0]["at_ns"] == divergence["second"][0]["at_ns"] + 1
    assert [event["seq"] for event in divergence["before"]] == [36, 37, 38]


def test_what_cannot_be_replayed_is_one_line(path: Path, tmp_path: Path) -> None:
    assert_refused(command("replay", tmp_path / "none.jsonl"), "cannot read", "none.jsonl")
    firmware = read_header(path).firmware_sha256
    other = forge(path, lambda lines: lines[0].update(firmware_sha256="ab" * 32))
    assert_refused(command("replay", other), firmware, "ab" * 32)
    lines = path.read_bytes().count(b"\n")
    path.write_bytes(path.read_bytes()[:-1])
    assert_refused(command("replay", path), f"line {lines}", "cut short")


def test_a_missing_payload_is_named_and_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "own.wasm").write_bytes(strip(payloads.read("counter")))
    command("run", tmp_path / "own.wasm", "--record", tmp_path / "run.jsonl")
    (digest,) = read_header(tmp_path / "run.jsonl").payload_sha256
    bare = forge(tmp_path / "run.jsonl", lambda lines: lines[0].update(payloads=[]))
    assert_refused(command("replay", bare), digest, "is missing")
    assert command("replay", bare, "--payload", "beacon", "--payload", tmp_path / "own.wasm").code == 0


def test_the_recording_of_boot_is_not_replayed(path: Path) -> None:
    bare = forge(path, lambda lines: lines[0].update(configuration={"ram_size": 1}))
    assert_refused(command("replay", bare), "`enclave-sim inspect RECORDING --payload IMAGE`")
