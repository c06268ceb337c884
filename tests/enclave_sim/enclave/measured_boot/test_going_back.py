"""Snapshots, templates, time travel, snapshot files and replay handle quotes like everything else."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_sim import Attestation, Enclave, Phase, Template, events
from enclave_sim.attestation import Evidence, ReferenceValues
from enclave_sim.enclave.attester.contract import Judgement, NoChallenge
from enclave_sim.recording.format import RecordingError
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.replay import replay
from enclave_sim.time_travel.snapshot_file import load, save
from machine.errors import MachineError
from machine.state import Stateful
from tests.enclave_sim.enclave.measured_boot.support import Interposer, kinds

OPTIONS: dict[str, Any] = {"cycles": 3, "wake_ns": 20_000, "attestation": Attestation.REQUIRE}
END_NS = 2_500_000
"""A little before the end of such a run."""


class Elsewhere(Stateful):
    """An external verifier: it chooses its nonces, refuses some cycles, and counts its requests."""

    built_in = False

    def __init__(self, refused: tuple[int, ...] = (), silent: tuple[int, ...] = ()) -> None:
        self._refused, self._silent = refused, silent
        self.asked = _Count()

    def challenge(self, cycle: int) -> bytes:
        self.asked.challenges += 1
        if cycle in self._silent:
            raise NoChallenge("elsewhere: nobody answers")
        return bytes([0xE0 + cycle]) * 32

    def judge(self, evidence: Evidence) -> Judgement:
        self.asked.judgements += 1
        refused = evidence.cycle in self._refused
        return Judgement(not refused, "elsewhere: it will not do" if refused else "elsewhere: it will do")


class _Count:
    """Not part of the run's state."""

    challenges = judgements = 0


@pytest.mark.slow
@settings(max_examples=25)
@given(before_ns=st.integers(0, END_NS), further_ns=st.integers(0, END_NS))
def test_behind_a_restored_snapshot_come_the_same_quotes(before_ns: int, further_ns: int) -> None:
    enclave = Enclave("beacon", **OPTIONS)
    shown: list[Evidence] = []
    enclave.on_evidence(shown.append)
    enclave.run(limit_ns=before_ns)
    before = len(shown)
    snapshot = enclave.snapshot()
    enclave.run(limit_ns=further_ns)
    enclave.restore(snapshot)
    del shown[before:]
    result = enclave.run()
    straight: list[Evidence] = []
    other = Enclave("beacon", **OPTIONS)
    other.on_evidence(straight.append)
    assert (result.digest, shown) == (other.run().digest, straight)


def test_a_verifier_that_was_asked_before_a_restore_does_not_refuse_after_it_as_stale() -> None:
    enclave = Enclave("beacon", **OPTIONS)
    enclave.run_to(Phase.WASM_INIT)
    snapshot = enclave.snapshot()
    for _ in range(3):
        enclave.restore(snapshot)
        assert enclave.run().attestation.accepted == 3


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("options", [OPTIONS, {"cycles": 2, "post_quantum": True}, {"attestation": Attestation.OFF}])
def test_a_template_runs_as_a_fresh_enclave_does(phase: Phase, options: dict[str, Any]) -> None:
    template = Template("counter", phase=phase, **options)
    fresh = Enclave("counter", **options).run()
    for _ in range(2):
        assert template.start().run() == fresh


def test_time_travel_over_quotes_gives_the_same_events() -> None:
    """A different second run forwards would raise an error (`Timeline`)."""
    session = Session("beacon", **OPTIONS)
    session.run_to(at_ns=END_NS)
    times = [event.at_ns for event in session.events if isinstance(event, events.Quoted)]
    assert len(times) == 6
    everything = list(session.events)
    for at_ns in (times[5] - 1, times[2], times[0] - 250_000, 100_000, times[3] - 40, times[4] + 1):
        session.reverse_to(at_ns=at_ns)
        session.run_to(at_ns=END_NS)
        assert session.events == everything
    session.reverse_to(event="quoted")
    session.reverse_to(event="attestation_decided")
    session.run_to(event="quoted", when=lambda event: event.algorithm == "ml-dsa-65")
    session.run_to(at_ns=END_NS)
    assert session.events == everything


def test_time_travel_with_a_verifier_elsewhere_and_a_broken_quote() -> None:
    options: dict[str, Any] = {"cycles": 3, "wake_ns": 20_000, "attestation": Attestation.RECORD}
    session = Session("beacon", verifier=Elsewhere(refused=(1,)), **options)
    session.run_to(at_ns=END_NS)
    everything = list(session.events)
    session.reverse_to(at_ns=100_000)
    session.run_to(at_ns=END_NS)
    assert session.events == everything
    verdicts = [event.verdict for event in everything if isinstance(event, events.AttestationDecided)]
    assert verdicts == ["accepted", "refused", "accepted"]


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at_ns=st.integers(0, END_NS))
def test_a_snapshot_file_goes_on_with_the_same_quotes(at_ns: int, tmp_path: Path) -> None:
    enclave = Enclave("beacon", **OPTIONS)
    enclave.run(limit_ns=at_ns)
    save(enclave, tmp_path / "a.snap")
    again = load(tmp_path / "a.snap")
    assert again.run() == enclave.run()
    assert again.evidence == enclave.evidence


@pytest.mark.parametrize("cycles_done", [1, 3])
def test_a_snapshot_file_has_the_answers_so_far_of_a_verifier_elsewhere(cycles_done: int, tmp_path: Path) -> None:
    options: dict[str, Any] = {"cycles": 3, "wake_ns": 20_000, "attestation": Attestation.RECORD}
    enclave = Enclave("beacon", verifier=Elsewhere(refused=(0,)), **options)
    while len(kinds(enclave, events.CycleEnded)) < cycles_done:
        enclave.run(limit_ns=enclave.machine.clock.now_ns + 10_000)
    save(enclave, tmp_path / "a.snap")
    again = load(tmp_path / "a.snap")
    result = again.run()
    decided = kinds(again, events.AttestationDecided)
    answers = ["elsewhere: it will not do", "elsewhere: it will do", "elsewhere: it will do"]
    unknown = "the recording has no verdict for this cycle"
    assert [event.message for event in decided] == answers[:cycles_done] + [unknown] * (3 - cycles_done)
    assert result.attestation.accepted == cycles_done - 1


def test_a_tpm_elsewhere_has_no_snapshot() -> None:
    class Outside(Interposer):
        def save_state(self) -> dict[str, Any]:
            raise MachineError("it is in another process")

    enclave = Enclave("beacon", tpm=Outside())
    enclave.run_to(Phase.MEM_MAP)
    with pytest.raises(MachineError, match="in another process"):
        enclave.snapshot()
    assert enclave.run().outcome == "COMPLETED"


def recorded(directory: Path, **options: Any) -> Path:
    enclave = Enclave("beacon", **{**OPTIONS, **options})
    enclave.run()
    assert enclave.recording is not None
    enclave.recording.save(directory / "run.jsonl")
    return directory / "run.jsonl"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attestation": Attestation.OFF},
        {"post_quantum": True, "tpm_seed": "another", "tpm_resets": 7},
        {"reference": ReferenceValues()},
        {"verifier": Elsewhere()},
        {"verifier": Elsewhere(refused=(1,))},
        {"verifier": Elsewhere(refused=(0, 2)), "attestation": Attestation.RECORD},
        {"verifier": Elsewhere(silent=(1,)), "attestation": Attestation.RECORD},
        {"verifier": Elsewhere(silent=(0,))},
    ],
    ids=["built in", "off", "post-quantum", "reference", "accepts", "refuses", "record", "no nonce", "none at all"],
)
def test_a_recording_is_replayed_with_the_answers_that_its_verifier_gave(
    options: dict[str, Any], tmp_path: Path
) -> None:
    path = recorded(tmp_path, **options)
    verifier = options.get("verifier")
    asked = (verifier.asked.challenges, verifier.asked.judgements) if verifier else ()
    again = replay(path)
    assert again.divergence is None
    if verifier:
        assert (verifier.asked.challenges, verifier.asked.judgements) == asked


def test_a_recording_made_with_a_tpm_elsewhere_is_not_replayed(tmp_path: Path) -> None:
    path = recorded(tmp_path, tpm=Interposer())
    with pytest.raises(RecordingError, match="with a TPM outside the emulator") as raised:
        replay(path)
    assert "\n" not in str(raised.value)


def test_a_verdict_changed_in_a_recording_is_seen(tmp_path: Path) -> None:
    """Even one with a matching trailer: the built-in verifier's verdict is recomputed, not trusted."""
    import hashlib
    import json

    path = recorded(tmp_path)
    *lines, trailer = path.read_bytes().splitlines(keepends=True)
    lines = [line.replace(b'"verdict":"accepted"', b'"verdict":"refused"') for line in lines]
    last = {**json.loads(trailer), "sha256": hashlib.sha256(b"".join(lines)).hexdigest()}
    path.write_bytes(b"".join(lines) + json.dumps(last, separators=(",", ":")).encode() + b"\n")
    found = replay(path)
    assert found.divergence is not None
    assert isinstance(found.divergence.first[0], events.AttestationDecided)
