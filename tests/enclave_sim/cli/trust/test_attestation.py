"""`attest`, `verify-evidence`, `reference-values`, and `run` with a verifier: output and exit codes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_sim.attestation import Evidence, ReferenceValues
from enclave_sim.attestation.formats.event_log import parse_event_log
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.specification import Attestation
from firmware import built_in
from machine.machine import Machine
from tests.enclave_sim.cli.command import Ended, assert_refused, command, commands

NONCE = "5a" * 32
RAW = ["event.log", "qualification.hex"] + [
    f"{name}.{what}" for name in ("p256", "mldsa65") for what in ("attest", "signature", "public", "pem")
]


@pytest.fixture(scope="module")
def of_the_beacon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with evidence and reference values of the beacon."""
    made = tmp_path_factory.mktemp("beacon")
    assert command("attest", "beacon", "--nonce", NONCE, "-o", made / "b.eat").code == ExitCode.OK
    assert command("reference-values", "beacon", "-o", made / "ref.json").code == ExitCode.OK
    return made


@pytest.fixture
def folder(of_the_beacon: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with copies of them."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(of_the_beacon, tmp_path, dirs_exist_ok=True)


def judge(*arguments: str, nonce: str = NONCE, reference: str = "ref.json", file: str = "b.eat") -> Ended:
    return command("verify-evidence", file, "--nonce", nonce, "--reference", reference, *arguments)


def failed(ended: Ended) -> list[str]:
    """The failed checks of a verdict as JSON."""
    content = json.loads(ended.output)
    assert content["accepted"] == (ended.code == ExitCode.OK)
    return [check["name"] for check in content["checks"] if not check["passed"]]


# attest


def test_attest_writes_evidence_that_is_accepted(folder: Path) -> None:
    ended = judge()
    assert (ended.code, ended.error) == (ExitCode.OK, "")
    assert ended.output.startswith("ACCEPTED  b.eat\n")
    assert "1 payload, allowed" in ended.output
    assert "FAILED" not in ended.output


def test_attest_says_what_it_did_in_one_line(folder: Path) -> None:
    ended = command("attest", "counter", "beacon", "--nonce", NONCE, "-o", "x.eat", "--cycle", "2", "--cycles", "3")
    assert (
        ended.output == f"wrote x.eat: {Path('x.eat').stat().st_size} bytes, evidence for cycle 2 of counter, beacon\n"
    )
    older = "; it replaced an older file\n"
    ended = command("attest", "--nonce", NONCE, "-o", "x.eat")
    assert ended.output == f"wrote x.eat: {os.path.getsize('x.eat')} bytes, evidence for cycle 0 of beacon{older}"
    ended = command("attest", "--nonce", NONCE, "-o", "x.eat", "--engine", "native")
    assert ended.output == f"wrote x.eat: {os.path.getsize('x.eat')} bytes, evidence for cycle 0 of surveyor{older}"


def test_attest_twice_writes_the_same(folder: Path) -> None:
    first = (folder / "b.eat").read_bytes()
    command("attest", "beacon", "--nonce", NONCE, "-o", "again/deep/b.eat")
    assert (folder / "again/deep/b.eat").read_bytes() == first


def test_attest_raw_has_the_structures_of_the_evidence(folder: Path) -> None:
    command("attest", "beacon", "--nonce", NONCE, "-o", "b.eat", "--raw", "q")
    evidence = Evidence.decode((folder / "b.eat").read_bytes())
    assert sorted(os.listdir("q")) == sorted(RAW)
    for quote, name in zip(evidence.quotes, ("p256", "mldsa65"), strict=True):
        for what in ("attest", "signature", "public"):
            assert (folder / "q" / f"{name}.{what}").read_bytes() == getattr(quote, what)
        assert (folder / "q" / f"{name}.pem").read_text().startswith("-----BEGIN PUBLIC KEY-----\n")
    assert (folder / "q" / "event.log").read_bytes() == evidence.event_log
    assert (folder / "q" / "qualification.hex").read_text() == NONCE + "00000000"


def test_attest_for_a_later_cycle_is_of_a_node_that_has_that_many(folder: Path) -> None:
    """The number of cycles is measured, so it has no automatic value."""
    later = ("attest", "beacon", "--nonce", NONCE, "-o", "b.eat", "--cycle", "2")
    for cycles in ((), ("--cycles", "2")):
        assert_refused(command(*later, *cycles), "--cycle 2 is not run: cycles begin at 0, and there are ")
    assert command(*later, "--cycles", "3").code == ExitCode.OK
    assert failed(judge("--cycle", "2", "--json")) == ["loader information", "configuration"]
    command("reference-values", "beacon", "--cycles", "3", "-o", "ref.json")
    assert failed(judge("--cycle", "2", "--json")) == []
    assert failed(judge("--json")) == ["cycle", "quote 1 extra data", "quote 2 extra data"]


@pytest.mark.parametrize(
    "options",
    [
        ["beacon", "--attestation", "require", "--wake-ns", "5000", "--quantum-ns", "70000", "--cycles", "4"],
        ["runner", "--engine", "native", "--cycles", "2"],
        ["counter", "beacon"],
        ["digest", "--arena-bytes", "65536"],
    ],
    ids=lambda options: options[0],
)
def test_what_is_attested_is_what_reference_values_says_of_the_same_options(options: list[str], folder: Path) -> None:
    command("attest", *options, "--nonce", NONCE, "-o", "b.eat")
    command("reference-values", *options, "-o", "ref.json")
    assert failed(judge("--json")) == []


@pytest.mark.parametrize("name", ["attest", "reference-values"])
def test_everything_that_is_measured_can_be_said(name: str) -> None:
    default = EnclaveConfiguration()

    def changed(name: str) -> Any:
        value = getattr(default, name)
        match value:
            case Enum():
                return next(other for other in type(value) if other not in (value, Attestation.OFF))
            case bool():
                return not value
            case None:
                return {"arena_bytes": 4096, "trace_memory": "heap", "firmware": built_in()}[name]
            case int():
                return value + 1
            case str():
                return value + "x"
            case tuple():
                return (1, 1)
        return frozenset({"simd"})

    measured = {
        name
        for name in default.__struct_fields__
        if msgspec.structs.replace(default, **{name: changed(name)}).command_line([b"x"])
        != default.command_line([b"x"])
    }
    assert {"cycles", "arena_bytes", "engine"} <= measured
    (options,) = (found.params for words, found in commands() if words == (name,))
    assert measured - {each.name for each in options} == set()


@pytest.mark.parametrize("nonce", ["", "5a", "5a" * 31, "5a" * 33, "zz" * 32, "5a" * 31 + "5"])
def test_a_nonce_that_is_not_32_bytes_is_refused(nonce: str, folder: Path) -> None:
    assert_refused(command("attest", "--nonce", nonce, "-o", "x"), "is not 32 bytes in hexadecimal")
    assert_refused(judge(nonce=nonce), "is not 32 bytes in hexadecimal")
    assert not (folder / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "no payload 'nobody'"),
        (["--attestation", "off"], "--attestation off makes no evidence"),
        (["--attestation", "maybe"], "maybe"),
        (["--cycle", "-1"], "-1"),
        (["--cycle", "1"], "--cycle 1 is not run: cycles begin at 0, and there are 1 (--cycles)"),
        (["--cycles", "16777216"], "cycles is 16777216"),
        (["--wake-ns", "1"], "--wake-ns is 1 ns"),
        (["--trust-anchor", "none.json"], "none.json"),
        (["trespasser", "--cycle", "1", "--cycles", "2"], "the enclave ended before cycle 1: GUEST_FAULT"),
        (["shredder", "--cycle", "3", "--cycles", "4"], "the enclave ended before cycle 3: SHRED_SELF"),
    ],
    ids=str,
)
def test_attest_of_what_cannot_be_attested_writes_nothing(arguments: list[str], words: str, folder: Path) -> None:
    assert_refused(command("attest", "--nonce", NONCE, "-o", "x.eat", *arguments), words)
    assert sorted(os.listdir(folder)) == ["b.eat", "ref.json"]


def test_attest_of_a_payload_that_is_rejected(folder: Path) -> None:
    (folder / "bad.wasm").write_bytes(b"\0asm\1\0\0\0")
    assert_refused(command("attest", "bad.wasm", "--nonce", NONCE, "-o", "x.eat"), "PAYLOAD_REJECTED")


def test_files_that_cannot_be_written_are_one_line(folder: Path) -> None:
    (folder / "file").write_text("")
    assert_refused(command("attest", "--nonce", NONCE, "-o", "a" * 300), "is too long")
    for where in ("file/x.eat", "."):
        assert_refused(command("attest", "--nonce", NONCE, "-o", where), "cannot write")
    assert_refused(command("attest", "--nonce", NONCE, "-o", "x.eat", "--raw", "file"), "cannot write")
    for where in ("file/ref.json", "."):
        assert_refused(command("reference-values", "-o", where), "cannot write")


def test_evidence_and_structures_are_written_together_or_not_at_all(folder: Path) -> None:
    (folder / "q").mkdir()
    (folder / "q" / "event.log").mkdir()
    before = sorted(os.listdir(folder))
    for arguments in (["-o", "x.eat", "--raw", "q"], ["-o", "q/event.log", "--raw", "new/raw"]):
        assert_refused(command("attest", "--nonce", NONCE, *arguments), "cannot write q/event.log: it is a directory")
        assert sorted(os.listdir(folder)) == before
        assert os.listdir("q") == ["event.log"]


def test_a_dash_is_standard_output_and_a_file_is_named(folder: Path) -> None:
    ended = command("reference-values", "-o", "r.json")
    assert ended.output == f"wrote r.json: {os.path.getsize('r.json')} bytes\n"
    for arguments in ([], ["-o", "-"]):
        assert command("reference-values", *arguments).output == (folder / "r.json").read_text()


# verify-evidence


def test_a_refusal_names_what_failed(folder: Path) -> None:
    ended = judge(nonce="00" * 32)
    assert (ended.code, ended.error) == (ExitCode.REFUSED, "")
    assert ended.output.startswith("REFUSED  b.eat: nonce, quote 1 extra data, quote 2 extra data\n")
    assert next(line.split()[1] for line in ended.output.splitlines() if line.startswith("FAILED")) == "nonce"
    assert failed(judge("--json", nonce="00" * 32)) == ["nonce", "quote 1 extra data", "quote 2 extra data"]


@pytest.mark.parametrize(
    ("after", "stale"), [("0:9:9:9", False), ("1:0:0:0", True), ("1:0:0:1", True), ("9:0:0:0", True)]
)
def test_evidence_must_be_later_than_what_was_accepted_last(after: str, stale: bool, folder: Path) -> None:
    assert failed(judge("--json", "--after", after)) == (["freshness"] if stale else [])


@pytest.mark.parametrize(
    "after", ["", "1", "1:2:3", "1:2:3:", "a:b:c:d", "1:2:3:4:5", "-1:0:0:0", "1 :0:0:0", f"{'9' * 5000}:0:0:0"]
)
def test_what_is_not_a_position_is_refused(after: str, folder: Path) -> None:
    assert_refused(judge("--after", after), "is not RESETS:RESTARTS:CLOCK:CYCLE")


def test_a_pipe_gets_every_reason_in_full_on_its_own_line(folder: Path) -> None:
    checks = json.loads(judge("--json", nonce="00" * 32).output)["checks"]
    assert max(len(check["message"]) for check in checks) > 120
    arguments = ["verify-evidence", "b.eat", "--nonce", "00" * 32, "--reference", "ref.json"]
    for columns in ("40", "80"):
        printed = subprocess.run(
            [sys.executable, "-m", "enclave_sim", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": columns},
        ).stdout
        words = [" ".join(line.split()) for line in printed.splitlines()[2:]]
        assert words == [f"{'passed' if c['passed'] else 'FAILED'} {c['name']} {c['message']}" for c in checks]


def test_the_position_that_was_printed_is_the_one_to_be_later_than(folder: Path) -> None:
    line = next(line for line in judge().output.splitlines() if line.startswith("position"))
    position = line.split()[-1]
    content = json.loads(judge("--json").output)
    assert position == ":".join(str(content[name]) for name in ("reset_count", "restart_count", "clock", "cycle"))
    assert failed(judge("--json", "--after", position)) == ["freshness"]
    assert "position" not in judge(nonce="00" * 32).output


def test_post_quantum_demands_the_second_signature(folder: Path) -> None:
    assert failed(judge("--post-quantum", "--json")) == []
    evidence = Evidence.decode((folder / "b.eat").read_bytes())
    downgraded = replace(evidence, quotes=evidence.quotes[:1], file=b"")
    (folder / "b.eat").write_bytes(downgraded.encode(None))
    assert failed(judge("--json")) == []
    assert failed(judge("--post-quantum", "--json")) == ["signature algorithms"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_a_file_with_another_byte_is_refused_or_no_evidence(part: float, bits: int, folder: Path) -> None:
    data = bytearray((folder / "b.eat").read_bytes())
    data[int(part * len(data))] ^= bits
    (folder / "changed.eat").write_bytes(data)
    ended = judge("--json", file="changed.eat")
    if ended.code == ExitCode.USAGE:
        assert_refused(ended)
    else:
        assert ended.code == ExitCode.REFUSED
        assert failed(ended)


@pytest.mark.parametrize("data", [b"", b"evidence", b"\xd8\x3d\xd2", bytes(70_000)])
def test_a_file_that_is_not_evidence_is_one_line(data: bytes, folder: Path) -> None:
    (folder / "b.eat").write_bytes(data)
    assert_refused(judge(), "b.eat: evidence file")


def test_files_that_are_missing_are_one_line(folder: Path) -> None:
    assert_refused(judge(file="none.eat"), "cannot read none.eat")
    assert_refused(judge(file="."), "cannot read .")
    assert_refused(judge(reference="none.json"), "cannot read none.json")
    assert_refused(judge(reference="b.eat"), "reference values")
    assert_refused(command("verify-evidence", "b.eat", "--nonce", NONCE), "--reference")
    assert_refused(command("verify-evidence", "b.eat", "--reference", "ref.json"), "--nonce")


def test_several_reference_values_are_what_any_of_them_allows(folder: Path) -> None:
    command("reference-values", "counter", "-o", "counter.json")
    assert failed(judge("--json", reference="counter.json")) == ["loader information", "payloads"]
    assert failed(judge("--json", "--reference", "counter.json")) == []


# reference-values


def test_reference_values_come_without_running_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("an instruction was to be executed")

    for name in ("run", "step"):
        monkeypatch.setattr(Machine, name, never)
    for options in (["beacon", "counter"], ["runner", "--engine", "native"]):
        ended = command("reference-values", *options)
        assert (ended.code, ended.error) == (ExitCode.OK, "")
        values = ReferenceValues.from_json(ended.output.encode())
        assert len(values.firmware) == len(values.configurations) == len(values.loader_information) == 1
        assert len(values.ak_names) == 2
    with pytest.raises(AssertionError, match="an instruction"):
        command("run", "beacon")


def test_reference_values_are_those_of_the_log(folder: Path) -> None:
    values = ReferenceValues.load(folder / "ref.json")
    events = parse_event_log(Evidence.decode((folder / "b.eat").read_bytes()).event_log).events
    by_register = [values.firmware, values.loader_information, values.configurations, values.trust_anchors]
    assert [frozenset({event.digest.hex()}) for event in events[:5]] == [*by_register, values.payloads]


def test_merged_reference_values_allow_both(folder: Path) -> None:
    command("reference-values", "counter", "--cycles", "2", "--merge", "ref.json", "-o", "both.json")
    assert failed(judge("--json", reference="both.json")) == []
    command("attest", "counter", "--cycles", "2", "--nonce", NONCE, "-o", "b.eat")
    assert failed(judge("--json", reference="both.json")) == []
    ours, theirs = (ReferenceValues.load(folder / name) for name in ("both.json", "ref.json"))
    assert ours == ours.merge(theirs)
    assert_refused(command("reference-values", "--merge", "none.json"), "cannot read none.json")
    assert_refused(command("reference-values", "--merge", "b.eat"), "reference values")


def test_reference_values_for_the_verifier_built_in(folder: Path) -> None:
    ended = command("run", "beacon", "--attestation", "require", "--reference", "ref.json", "--json")
    assert "configuration: " in json.loads(ended.output)["detail"]
    command("reference-values", "beacon", "--attestation", "require", "-o", "require.json")
    both = ("--reference", "ref.json", "--reference", "require.json")
    assert command("run", "beacon", "--attestation", "require", *both, "--quiet").code == ExitCode.OK
    assert_refused(command("run", "beacon", "--reference", "none.json"), "cannot read none.json")


@pytest.mark.parametrize("words", [("attest", "--nonce", NONCE), ("reference-values",)], ids=lambda words: words[0])
def test_the_output_does_not_replace_a_trust_anchor(words: tuple[str, ...], folder: Path) -> None:
    command("payload", "keygen", "alice")
    anchor = Path("alice.anchor.json")
    before = anchor.read_bytes()
    ended = command(*words, "--trust-anchor", anchor, "-o", anchor)
    assert_refused(ended, "alice.anchor.json is the trust anchor itself; name another file for the output")
    assert anchor.read_bytes() == before
