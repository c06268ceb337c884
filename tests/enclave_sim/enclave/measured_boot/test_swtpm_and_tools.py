"""With swtpm and other people's tools: an enclave here is measured and quoted like any platform."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from enclave_sim import Attestation, Enclave, events
from enclave_sim.attestation import Challenge, Evidence, verify
from enclave_sim.attestation.formats.event_log import parse_event_log
from enclave_sim.attestation.formats.public_area import parse_public
from enclave_sim.attestation.formats.quote import parse_quote
from enclave_sim.attestation.formats.signature import EcdsaSignature, parse_signature
from enclave_sim.attestation.verdict import NONCE_SIZE
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.recording.reader import read_events, read_header
from machine.state import Stateful
from machine.tpm.constants import Code
from machine.tpm.swtpm import Swtpm
from tests.enclave_sim.attestation.tpm_tools import MISSING, PCRS, replayed
from tests.enclave_sim.attestation.tpm_tools import run as tool
from tests.enclave_sim.cli.command import Ended, assert_refused, command
from tests.enclave_sim.enclave.measured_boot.support import (
    BOOT_COMMANDS,
    CREATE_PRIMARY,
    EXTEND,
    QUOTE,
    SHUTDOWN,
    STARTUP,
    assert_annihilated,
    kinds,
    later_quote,
    pcr_values,
)
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.conftest import SwtpmProcess

pytestmark = [pytest.mark.tpm, pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")]
NONCE = "c3" * 32
FLUSH = Code.FLUSH_CONTEXT
ASKED = [STARTUP, CREATE_PRIMARY, FLUSH, CREATE_PRIMARY]
"""The built-in verifier's commands to a TPM other than the model, to learn its keys."""
NO_ML_DSA = [*BOOT_COMMANDS[:10], QUOTE, *ASKED, EXTEND, SHUTDOWN]
"""The commands of a boot with a TPM that refuses the second key."""


@pytest.fixture
def process() -> Iterator[SwtpmProcess]:
    """A new swtpm in a folder with a short path, because a socket needs one. Earlier connections are closed."""
    connected: list[Swtpm] = []

    def connect(*arguments: Any, **options: Any) -> Swtpm:
        for earlier in connected:
            earlier.close()
        connected.append(Swtpm(*arguments, **options))
        return connected[-1]

    with tempfile.TemporaryDirectory(prefix="swtpm", dir="/tmp") as name, patch("machine.tpm.swtpm.Swtpm", connect):
        running = SwtpmProcess(Path(name))
        running.connect = lambda: connect(running.data, running.control)  # type: ignore[method-assign]
        yield running
        for one in connected:
            one.close()
        running.stop()


def option(process: SwtpmProcess) -> tuple[str, str]:
    return "--tpm", f"swtpm:{process.data},{process.control}"


class Outside(Stateful):
    """A real TPM with an interposer that sees the commands before they are sent."""

    def __init__(self, process: SwtpmProcess, before: Callable[[int], None] = lambda _number: None) -> None:
        self.real = process.connect()
        self._before = before
        self.codes: list[int] = []

    def power_on(self) -> None:
        self.real.power_on()

    def execute(self, command: bytes, locality: int) -> bytes:
        self._before(len(self.codes))
        self.codes.append(tpm.code_of(command))
        return self.real.execute(command, locality)


def test_an_enclave_with_a_real_tpm_boots_and_its_quote_is_accepted(process: SwtpmProcess, tmp_path: Path) -> None:
    recording = tmp_path / "r.jsonl"
    ended = command("run", "beacon", *option(process), "--attestation", "require", "--json", "--record", recording)
    result = json.loads(ended.output)
    assert (ended.code, ended.error, result["outcome"]) == (ExitCode.OK, "", "COMPLETED")
    assert (result["attestation"]["accepted"], result["residue_bytes"]) == (1, 0)
    seen = list(read_events(recording))
    (refused,) = (event for event in seen if isinstance(event, events.TpmCommandFailed))
    assert refused.command == CREATE_PRIMARY
    assert [event.algorithm for event in seen if isinstance(event, events.Quoted)] == ["ecdsa-p256"]
    assert read_header(recording).configuration["tpm"] == "external"
    assert_refused(command("replay", recording), "it was made with a TPM outside the emulator")


def test_a_real_tpm_has_no_ml_dsa_which_is_refused_where_it_is_demanded(process: SwtpmProcess) -> None:
    demanding = ("--attestation", "require", "--post-quantum", "--json")
    ended = command("run", "beacon", *option(process), *demanding)
    result = json.loads(ended.output)
    assert (ended.code, result["outcome"]) == (ExitCode.KERNEL_FAULT, "ATTESTATION_REFUSED")
    assert "signature algorithms: ml-dsa-65 is missing" in result["detail"]


def test_reset_counts_grow_from_run_to_run(process: SwtpmProcess, tmp_path: Path) -> None:
    counts = []
    for number in range(3):
        recording = tmp_path / f"{number}.jsonl"
        assert command("run", "beacon", *option(process), "-q", "--record", recording).code == ExitCode.OK
        counts += [event.reset_count for event in read_events(recording) if isinstance(event, events.Quoted)]
    assert counts == [counts[0], counts[0] + 1, counts[0] + 2]


def test_without_its_control_socket_the_next_run_finds_the_registers_in_use(process: SwtpmProcess) -> None:
    """The TPM is not reset, so measurements extend the capped PCR."""
    alone = ("--tpm", f"swtpm:{process.data}", "--attestation", "require", "--json")
    process.connect().power_on()
    assert command("run", "beacon", *alone).code == ExitCode.OK
    result = json.loads(command("run", "beacon", *alone).output)
    assert result["outcome"] == "ATTESTATION_REFUSED"
    assert "quote 1 PCR digest: " in result["detail"]


def test_evidence_from_a_real_tpm_is_accepted_with_reference_values_that_name_its_key(
    process: SwtpmProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("attest", "counter", "--nonce", NONCE, "-o", "c.eat", *option(process)).code == ExitCode.OK
    assert command("reference-values", "counter", "-o", "real.json", *option(process)).code == ExitCode.OK
    assert command("reference-values", "counter", "-o", "model.json").code == ExitCode.OK

    def judge(reference: str) -> Ended:
        return command("verify-evidence", "c.eat", "--nonce", NONCE, "--reference", reference, "--json")

    assert judge("real.json").code == ExitCode.OK
    failed = [check["name"] for check in json.loads(judge("model.json").output)["checks"] if not check["passed"]]
    assert failed == ["quote 1 AK known"]


@pytest.mark.parametrize(("payload", "engine"), [("beacon", "wasmtime"), ("runner", "native")])
def test_model_and_real_tpm_agree_about_the_same_boot(payload: str, engine: str, process: SwtpmProcess) -> None:
    shown: list[Evidence] = []
    registers = []
    device = Outside(process)
    for backend in (device, None):
        enclave = Enclave(payload, engine=engine, cycles=2, tpm=backend)
        assert enclave.boot()
        assert enclave.evidence is not None
        shown.append(enclave.evidence)
        registers.append(pcr_values(enclave._tpm))
    real, ours = shown
    assert registers[0] == registers[1]
    assert real.event_log == ours.event_log
    theirs, mine = (parse_quote(evidence.quotes[0].attest) for evidence in shown)
    assert (theirs.selections, theirs.pcr_digest) == (mine.selections, mine.pcr_digest)
    assert theirs.extra_data[NONCE_SIZE:] == mine.extra_data[NONCE_SIZE:] == tpm.u32(0)
    assert len(real.quotes[0].public) == len(ours.quotes[0].public)
    their_key, our_key = (parse_public(evidence.quotes[0].public) for evidence in shown)
    assert their_key._replace(key=our_key.key) == our_key


def test_the_cap_of_a_real_tpm_makes_a_later_quote_worthless(process: SwtpmProcess) -> None:
    device = Outside(process)
    enclave = Enclave("shredder", tpm=device)
    enclave.run()
    assert enclave.evidence is not None
    nonce = bytes.fromhex(NONCE)
    quote = later_quote(device, nonce)
    assert quote.public == enclave.evidence.quotes[0].public
    later = Evidence(nonce, 0, (quote,), enclave.evidence.event_log)
    verdict = verify(later, Challenge(nonce, 0), enclave.reference_values())
    assert [check.name for check in verdict.failures] == ["quote 1 PCR digest"]


@pytest.mark.parametrize("pcr", range(8, 14))
def test_a_real_tpm_resets_no_register_that_is_quoted(pcr: int, process: SwtpmProcess) -> None:
    device = process.connect()
    device.power_on()
    device.execute(tpm.startup(), 0)
    device.execute(tpm.extend(pcr), 0)
    before = pcr_values(device, [pcr])
    assert tpm.code_of(device.execute(tpm.reset(pcr), 0)) == 0x907
    assert pcr_values(device, [pcr]) == before != [bytes(32)]


# It dies.


@pytest.mark.parametrize("number", range(len(NO_ML_DSA)))
def test_a_tpm_killed_before_any_command(number: int, process: SwtpmProcess) -> None:
    def kill(at: int) -> None:
        if at == number:
            process.stop()

    device = Outside(process, kill)
    enclave = Enclave("beacon", tpm=device, attestation=Attestation.REQUIRE)
    result = enclave.run()
    before_the_verdict = number < len(NO_ML_DSA) - 2
    assert_annihilated(enclave, result, "ATTESTATION_REFUSED" if before_the_verdict else "COMPLETED")
    assert bool(kinds(enclave, events.GuestInstantiated)) == bool(result.signals) == (not before_the_verdict)
    assert device.codes[:number] == NO_ML_DSA[:number]


def test_a_tpm_killed_between_its_quote_and_the_verdict_is_a_refusal_in_words(process: SwtpmProcess) -> None:
    """The built-in verifier asks the TPM for the names of its keys, and gets no response."""
    enclave = Enclave("beacon", tpm=process.connect(), attestation=Attestation.REQUIRE)
    enclave.on_evidence(lambda _evidence: process.stop())
    result = enclave.run()
    assert_annihilated(enclave, result, "ATTESTATION_REFUSED")
    assert "no reference values: swtpm: the connection " in result.detail


def test_a_tpm_that_stops_in_the_middle_of_a_command(process: SwtpmProcess) -> None:
    """It has the command and does not respond; then it is killed."""

    def stop(at: int) -> None:
        if at == 5:
            process.process.send_signal(signal.SIGSTOP)
            device.real._timeout_s = 0.3

    device = Outside(process, stop)
    enclave = Enclave("beacon", tpm=device, attestation=Attestation.REQUIRE)
    result = enclave.run()
    assert_annihilated(enclave, result, "ATTESTATION_REFUSED")
    assert device.codes == BOOT_COMMANDS[:6]


def test_a_tpm_killed_before_the_boot_is_one_line(process: SwtpmProcess) -> None:
    process.stop()
    assert_refused(command("run", "beacon", *option(process)), "swtpm: cannot connect to ")


@pytest.mark.parametrize("attestation", [Attestation.RECORD, Attestation.REQUIRE])
def test_a_tpm_killed_between_two_cycles(attestation: Attestation, process: SwtpmProcess) -> None:
    device = Outside(process)
    enclave = Enclave("beacon", tpm=device, cycles=3, wake_ns=1_000_000, attestation=attestation)
    enclave.boot()
    while not kinds(enclave, events.WakeScheduled):
        enclave.run(limit_ns=enclave.machine.clock.now_ns + 10_000)
    process.stop()
    result = enclave.run()
    assert_annihilated(enclave, result, "ATTESTATION_REFUSED")
    assert len(result.signals) == 1


# The tools.


@pytest.fixture(params=["model", "swtpm"])
def raw(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The output of `attest --raw` with either TPM."""
    chosen = ("--tpm", "model") if request.param == "model" else option(request.getfixturevalue("process"))
    folder = tmp_path / "q"
    written = ("-o", tmp_path / "b.eat", "--raw", folder)
    assert command("attest", "beacon", "counter", "--nonce", NONCE, *written, *chosen).code == ExitCode.OK
    log = parse_event_log((folder / "event.log").read_bytes())
    (folder / "values").write_bytes(log.pcr_values(tuple(range(8, 14))))
    return folder


@pytest.mark.parametrize("public", ["p256.pem", "p256.public"])
def test_tpm2_checkquote_accepts_what_attest_writes(public: str, raw: Path) -> None:
    blobs = ("-u", public, "-m", "p256.attest", "-s", "p256.signature", "-f", "values", "-l", PCRS, "-g", "sha256")
    done = tool("tpm2_checkquote", *blobs, "-q", (raw / "qualification.hex").read_text(), folder=raw)
    assert done.returncode == 0, done.stderr
    done = tool("tpm2_checkquote", *blobs, "-q", "00" * 36, folder=raw)
    assert done.returncode != 0


def test_tpm2_eventlog_replays_the_log_to_the_registers_that_were_quoted(raw: Path) -> None:
    done = tool("tpm2_eventlog", "event.log", folder=raw)
    assert done.returncode == 0, done.stderr
    values = replayed(done.stdout)
    assert sorted(values) == list(range(8, 14))
    assert b"".join(values[pcr] for pcr in range(8, 14)) == (raw / "values").read_bytes()
    for name in ("kernel image", "trust anchors", "payload 0", "payload 1", "AETHER ACTIVE"):
        assert name in done.stdout or name.encode().hex() in done.stdout


def test_tpm2_print_reads_quote_and_key(raw: Path) -> None:
    done = tool("tpm2_print", "-t", "TPMS_ATTEST", "p256.attest", folder=raw)
    assert done.returncode == 0, done.stderr
    assert NONCE + "00000000" in done.stdout
    assert parse_quote((raw / "p256.attest").read_bytes()).pcr_digest.hex() in done.stdout
    done = tool("tpm2_print", "-t", "TPM2B_PUBLIC", "p256.public", folder=raw)
    assert done.returncode == 0, done.stderr
    for word in ("fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign", "NIST p256", "ecdsa"):
        assert word in done.stdout


def test_openssl_verifies_the_signature_with_the_key_in_pem(raw: Path) -> None:
    """As independent as possible: r and s as DER, and a file of the quote."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing")
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    signature = parse_signature((raw / "p256.signature").read_bytes())
    assert isinstance(signature, EcdsaSignature)
    r, s = (int.from_bytes(number, "big") for number in (signature.r, signature.s))
    (raw / "der").write_bytes(encode_dss_signature(r, s))
    verification = ["openssl", "dgst", "-sha256", "-verify", "p256.pem", "-signature", "der", "p256.attest"]
    done = subprocess.run(verification, cwd=raw, capture_output=True, text=True, check=False)
    assert done.stdout == "Verified OK\n"
    assert "mldsa65.public" in os.listdir(raw) or not (raw / "mldsa65.attest").exists()
