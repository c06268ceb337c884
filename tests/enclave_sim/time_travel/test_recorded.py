"""Sessions on recordings: the run is made again, moved in both directions, and compared with what was recorded."""

from pathlib import Path

import pytest

from enclave_sim import Enclave
from enclave_sim.inputs import ExternalInterrupt
from enclave_sim.recording.format import RecordingError
from enclave_sim.time_travel import Session
from tests.enclave_sim.forging import Line, forge


def saved(enclave: Enclave, directory: Path, limit_ns: int | None = None) -> Path:
    enclave.run(limit_ns)
    assert enclave.recording is not None
    path = directory / "run.jsonl"
    enclave.recording.save(path)
    return path


def test_the_run_of_a_recording_goes_both_ways_and_answers(tmp_path: Path) -> None:
    path = saved(Enclave("counter", cycles=2, inputs=[ExternalInterrupt(at_ns=1_500_000)]), tmp_path)
    session, first = Session.replay(path), Session("counter", cycles=2, inputs=[ExternalInterrupt(at_ns=1_500_000)])
    for one in (session, first):
        one.run_to(event="signal_emitted")
    assert isinstance(session, Session)
    assert session.events == first.events
    assert str(session.where_from("esi")) == str(first.where_from("esi"))
    session.back(5)
    session.resume()
    assert session.enclave.dormant


def test_an_input_given_by_hand_comes_again(tmp_path: Path) -> None:
    enclave = Enclave("beacon", cycles=3)
    enclave.machine.run(2_000_000)
    enclave.tamper()
    session = Session.replay(saved(enclave, tmp_path))
    session.resume()
    assert session.enclave.dormant


def test_a_run_that_a_limit_of_time_has_ended_may_go_on(tmp_path: Path) -> None:
    session = Session.replay(saved(Enclave("beacon", cycles=9), tmp_path, limit_ns=2_000_000))
    assert session.run_to(at_ns=2_500_000).at_ns >= 2_500_000


def test_another_input_makes_another_run_which_is_not_compared(tmp_path: Path) -> None:
    session = Session.replay(saved(Enclave("counter", cycles=2), tmp_path))
    session.run_to(event="signal_emitted")
    session.take(ExternalInterrupt(at_ns=0))
    session.resume()
    assert session.enclave.dormant


def later(lines: list[Line]) -> None:
    lines[40]["at_ns"] += 1


def more(lines: list[Line]) -> None:
    """Repeat an event that is no finding after the end."""
    lines.append(dict(lines[5]))


@pytest.mark.parametrize(
    ("change", "message"),
    [(later, "NOT AS RECORDED from event 39 on"), (more, "NOT AS RECORDED: ends before event")],
)
def test_a_run_that_is_not_as_recorded_is_an_error(change: object, message: str, tmp_path: Path) -> None:
    assert callable(change)
    session = Session.replay(forge(saved(Enclave("counter"), tmp_path), change))
    with pytest.raises(RecordingError, match=message):
        session.resume()


def test_a_damaged_recording_and_that_of_another_firmware_are_refused(tmp_path: Path) -> None:
    path = saved(Enclave("counter"), tmp_path)
    other = forge(path, lambda lines: lines[0].update(firmware_sha256="0" * 64))
    with pytest.raises(RecordingError, match="it was made with firmware 000"):
        Session.replay(other)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecordingError, match=r"run\.jsonl"):
        Session.replay(path)
