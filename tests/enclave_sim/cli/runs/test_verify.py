"""`enclave-sim verify` judges, shows evidence, and reports the result as its exit code."""

import json
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from enclave_sim import Enclave
from enclave_sim.cli.app import app
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.inputs import AfterEvent, ExternalInterrupt
from enclave_sim.payload.keys import SigningKey, development_key
from enclave_sim.payload.signature import sign

pytestmark = pytest.mark.slow

LEAKY = """(module (import "aether" "emit_signal" (func $emit (param i32)))
    (memory 1) (data (i32.const 0) "\\01\\02\\03\\04") (func (export "_start") (local i32)
    (local.set 0 (i32.and (i32.load (i32.const 0)) (i32.const 1023)))
    (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (call $emit (i32.const 1))))"""
NAMES = ["deterministic", "zero-trace", "non-interference", "isolated", "jitter-free", "admitted", "attested"]


def verify(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        app(["verify", *arguments])
    captured = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def leaky(tmp_path: Path) -> str:
    path = tmp_path / "leaky.wasm"
    path.write_bytes(sign(bytes(wat2wasm(LEAKY)), development_key()))
    return str(path)


def test_every_guarantee_has_a_line_and_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = verify(capsys, "counter", "--cycles", "2", "--runs", "2")
    assert (code, err) == (ExitCode.OK, "")
    assert [line.split()[:2] for line in out.splitlines() if line.startswith(tuple(NAMES))] == [
        [name, "holds"] for name in NAMES
    ]
    assert "Latency of timer wakes" in out


@pytest.mark.slow
def test_json_is_one_object_with_all_reports(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = verify(capsys, "beacon", "counter", "--json", "--runs", "2", "--cycles", "2")
    document = json.loads(out)
    assert code == ExitCode.OK
    assert document["payloads"] == ["beacon", "counter"]
    assert [report["guarantee"] for report in document["guarantees"]] == NAMES
    assert document["holds"] is all(report["holds"] for report in document["guarantees"]) is True


def test_a_flat_guest_is_judged_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(capsys, "--engine", "native", "vandal", "--runs", "2")[0] == ExitCode.OK


@pytest.mark.slow
def test_a_timing_channel_is_shown_and_has_an_exit_code_of_its_own(
    leaky: str, capsys: pytest.CaptureFixture[str]
) -> None:
    short = [leaky, "--runs", "2", "--cycles", "1"]
    assert verify(capsys, *short)[0] == ExitCode.OK  # its data was not declared secret
    code, out, _ = verify(capsys, *short, "--secret", "data")
    assert code == 9
    assert "non-interference  BROKEN" in out
    assert "a timing channel: the same event at another time" in out
    report = json.loads(verify(capsys, *short, "--secret", "data", "--json")[1])["guarantees"][2]
    assert report["holds"] is False
    assert report["findings"][0]["evidence"]


def test_a_secret_that_no_guest_sees_is_no_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = verify(capsys, "beacon", "--cycles", "1", "--runs", "2")
    assert code == 0
    assert "NO EVIDENCE" in out
    assert "the secret is nowhere where a guest could see it" in out
    code, out, _ = verify(capsys, "beacon", "--cycles", "1", "--runs", "2", "--json", "--secret", "wake")
    document = json.loads(out)
    assert code == ExitCode.GUARANTEE
    assert not document["holds"]
    assert [one["guarantee"] for one in document["guarantees"] if one["no_evidence"]] == ["non-interference"]


def test_a_payload_of_ones_own_is_judged_with_its_trust_anchor_and_otherwise_said_to_be_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = SigningKey.generate("alice", development=False)
    key.anchor().save(tmp_path / "alice.anchor.json")
    path = tmp_path / "own.wasm"
    path.write_bytes(sign(bytes(wat2wasm(LEAKY)), key))
    arguments = [str(path), "--runs", "2", "--cycles", "1"]
    code, out, _ = verify(capsys, *arguments)
    assert (code, "rejected 8" in out) == (ExitCode.OK, True)
    assert "a payload failed a check and was never run: UNKNOWN_KEY;" in out
    code, out, _ = verify(capsys, *arguments, "--trust-anchor", str(tmp_path / "alice.anchor.json"), "--production")
    assert (code, "rejected" in out, "stays in ring 3" in out) == (ExitCode.OK, False, True)
    assert "DEVELOPMENT_KEY" in verify(capsys, "beacon", "--production", "--json", "--runs", "2")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "no payload 'nosuch'"),
        (["--runs", "1"], "at least 2"),
        (["counter", "--secret", "data"], "no payload has a data segment"),
        (["counter", "--secret", "wace"], "did you mean wake?"),
        (["--cycles", "0"], "cycles is 0"),
        (["--runs", "many"], "not a whole number"),
        (["--engine", "native", "runner", "--secret", "data"], "data segment"),
    ],
)
def test_what_cannot_be_judged_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = verify(capsys, *arguments)
    assert (code, out) == (ExitCode.USAGE, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_every_run_gets_the_inputs_of_a_script(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "inputs.toml"
    script.write_text(
        '[[input]]\nkind = "external_interrupt"\nafter = { event = "wake_scheduled" }\ndelay = "250 us"\n'
    )
    arguments = ["counter", "--cycles", "2", "--runs", "2", "--json"]
    code, out, _ = verify(capsys, *arguments, "--inputs", str(script))
    assert code == ExitCode.OK
    inputs = [ExternalInterrupt(at_ns=250_000, after=AfterEvent("wake_scheduled"))]
    expected = Enclave("counter", cycles=2, inputs=inputs).run().digest
    assert expected.startswith(json.loads(out)["guarantees"][0]["looked_at"]["digest"])
    assert verify(capsys, *arguments, "--inputs", str(tmp_path / "none.toml"))[0] == ExitCode.USAGE
