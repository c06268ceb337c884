"""`short_lived`: it holds for the built-in kernel, and names place and writer of what stays for too long."""

import pytest

from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees import GuaranteeBroken, NoEvidence, Scenario, ShortLived, short_lived
from enclave_sim.guarantees.verification import verify
from enclave_sim.testing import assert_short_lived
from tests.mutants.defects import DEFECTS
from tests.mutants.trials import TRIALS

BEACON = Scenario("beacon")
PLACES = ("registers", "kernel_stack", "arena", "tpm_buffer", "attestation_nonce")


def test_it_holds_and_says_how_much_it_looked_at() -> None:
    report = short_lived(BEACON, "nonce", within_ns=1_000_000, only_in=PLACES)
    assert report.verdict == "holds"
    assert report.looked_at["bytes"] == 32
    assert report.looked_at["not modelled"] == 0
    assert 100_000 < report.looked_at["longest ns"] < 1_000_000


def test_a_copy_that_lives_for_too_long_is_a_finding_with_its_writer() -> None:
    report = short_lived(BEACON, "nonce", within_ns=250_000)
    found = [one for one in report.findings if "kernel_stack" in one.what]
    assert all("longer than 250000 ns" in one.what for one in report.findings)
    assert any(line.startswith("made by put_bytes+") for one in found for line in one.evidence)
    assert not any("copies of nonce were in rax" in one.what for one in report.findings)


def test_a_copy_in_another_place_is_a_finding() -> None:
    report = short_lived(BEACON, "nonce", only_in=[name for name in PLACES if name != "arena"])
    assert {one.what for one in report.findings} == {"copies of nonce were in arena"}
    with pytest.raises(GuaranteeBroken, match="copies of nonce were in arena"):
        report.check()


def test_a_key_never_leaves_the_tpm() -> None:
    assert short_lived(BEACON, "key", within_ns=1, only_in=["tpm"]).verdict == "holds"
    assert short_lived(BEACON, "key", only_in=PLACES).verdict == "BROKEN"


def test_single_registers_can_be_places() -> None:
    report = short_lived(BEACON, "nonce", only_in=[*PLACES[1:], "rax", "rsi", "r8"])
    assert {one.what for one in report.findings} == {"copies of nonce were in r9"}


def test_a_secret_that_is_not_in_the_run_is_no_evidence() -> None:
    assert short_lived(BEACON, "data", within_ns=1).verdict == "NO EVIDENCE"
    with pytest.raises(NoEvidence):
        assert_short_lived("beacon", "nonce", within_ns=1, attestation="off")


def test_the_assertion_takes_the_options_of_a_run() -> None:
    assert assert_short_lived("counter", "nonce", within_ns=1_000_000, cycles=1).holds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonce=1ms", ShortLived("nonce", 1_000_000)),
        ("data:1@heap+staging", ShortLived("data:1", None, ("heap", "staging"))),
        ("input=5us@registers", ShortLived("input", 5_000, ("registers",))),
    ],
)
def test_a_promise_is_a_text(text: str, expected: ShortLived) -> None:
    assert ShortLived.parse(text) == expected


def test_mistakes_are_clear_errors() -> None:
    with pytest.raises(ConfigurationError, match="'nonce' promises nothing"):
        ShortLived.parse("nonce")
    with pytest.raises(ConfigurationError, match="needs within_ns or only_in"):
        short_lived(BEACON, "nonce")
    with pytest.raises(ConfigurationError, match="there is no place 'heep'; did you mean heap"):
        short_lived(BEACON, "nonce", only_in=["heep"])


@pytest.mark.slow
def test_verify_judges_promises() -> None:
    *_, report = verify(BEACON, runs=2, promises=[ShortLived("nonce", None, PLACES)])
    assert (report.guarantee, report.verdict) == ("short-lived", "holds")


@pytest.mark.slow
def test_a_kernel_that_does_not_scrub_the_heap_is_found_with_place_and_writer() -> None:
    trial = TRIALS["marked"]
    (promise,) = trial.promises
    (sound,) = trial.scenarios()
    assert short_lived(sound, promise.secret, within_ns=promise.within_ns, only_in=promise.only_in).holds
    with DEFECTS["cycle-heap"].made() as kernel:
        (scenario,) = trial.scenarios(kernel)
        report = short_lived(scenario, promise.secret, within_ns=promise.within_ns, only_in=promise.only_in)
    (finding,) = report.findings
    assert finding.what.startswith("copies of input were in heap for ")
    made, ended, where = finding.evidence
    assert made == "made by marked"
    assert ended.startswith("ended by scrub engine, at scrub+")
    assert where == "at 0xc01000-0xc0100b"


def test_options_of_the_scenario_reach_the_run() -> None:
    scenario = Scenario("counter", EnclaveOptions.of(attestation="off"))
    assert short_lived(scenario, "nonce", within_ns=1).no_evidence == "there is no nonce 0 in this run; it has none"
