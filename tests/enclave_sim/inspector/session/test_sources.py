"""Sources that can be inspected, and errors for those that cannot."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from enclave_sim import Enclave
from enclave_sim.cancellation import Cancellation
from enclave_sim.cli.runs.inspect import inspect
from enclave_sim.enclave.kernel.program import aether
from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.actions.breakpoints import read_watch
from enclave_sim.inspector.actions.goals import Goal, read_address, read_goal
from enclave_sim.inspector.model.event_log import EventFilter, EventLog, event_view
from enclave_sim.inspector.serving.web import command_of
from enclave_sim.inspector.session.sources import source_of
from enclave_sim.recording.format import RecordingError
from enclave_sim.recording.recording import Recording
from enclave_sim.time_travel.recorded.comparison import RunningComparison
from tests.enclave_sim.inspector.driving import Driven, drive

KERNEL = Path("firmware/aether.elf")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    enclave = Enclave("beacon", cycles=2)
    enclave.run()
    assert enclave.recording is not None
    path = tmp_path / "beacon.jsonl"
    enclave.recording.save(path)
    return path


@pytest.mark.slow
def test_a_recording_is_made_again_and_found_to_be_the_same(recording: Path) -> None:
    async def script(driven: Driven) -> None:
        assert driven.standing.recording.startswith("as recorded, ")
        await driven.press("h")
        assert "as recorded, " in driven.standing.text
        await driven.press("right_square_bracket")
        assert driven.standing.recording == "as recorded"

    drive(script, source=source_of((str(recording),)))


def test_inputs_that_were_given_by_hand_come_again(tmp_path: Path) -> None:
    enclave = Enclave("beacon", cycles=3)
    enclave.machine.run(2_000_000)
    enclave.tamper()
    enclave.run()
    assert enclave.recording is not None
    path = tmp_path / "tampered.jsonl"
    enclave.recording.save(path)
    opened = source_of((str(path),)).open(Cancellation())
    opened.run.resume()
    assert opened.comparison is not None
    opened.comparison.follow(opened.run.known)
    assert opened.comparison.words(over=True) == "as recorded"


def test_at_its_end_every_event_of_a_recording_is_seen(recording: Path) -> None:
    events = Recording.load(recording).events
    run = source_of((str(recording),)).open(Cancellation()).run
    run.resume()
    assert run.seen == len(events)
    last = event_view(EventLog(run.known, Cancellation()), run.seen, EventFilter()).rows[-1]
    assert (last.target.event, last.text.split()[2]) == (events[-1].seq, events[-1].__struct_config__.tag)


def test_a_run_that_is_not_as_recorded_is_reported_with_the_event(recording: Path) -> None:
    events = Recording.load(recording).events
    other = [*events[:30], msgspec.structs.replace(events[30], at_ns=1), *events[31:]]
    opened = source_of((str(recording),)).open(Cancellation())
    opened.run.resume()
    comparison = RunningComparison(list(other))
    comparison.follow(opened.run.known)
    assert comparison.differs_at == 30
    assert comparison.words(over=True).startswith("NOT AS RECORDED from event 30")
    longer = RunningComparison([*events, *events[:1]])
    longer.follow(opened.run.known)
    assert longer.words(over=True).startswith("NOT AS RECORDED: ends before")


def test_a_damaged_recording_is_refused(recording: Path) -> None:
    recording.write_bytes(recording.read_bytes()[:-200])
    with pytest.raises(RecordingError, match=r"beacon\.jsonl"):
        source_of((str(recording),)).open(Cancellation())


def test_a_recording_beside_something_else_is_refused(recording: Path) -> None:
    with pytest.raises(ConfigurationError, match="must be named alone"):
        source_of((str(recording), "beacon"))


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("#1,200", Goal(seq=1200)),
        ("2us", Goal(at_ns=2000)),
        ("1.293902 ms", Goal(at_ns=1_293_902)),
        ("0.000000001 s", Goal(at_ns=1)),
        ("1,000 ns", Goal(at_ns=1000)),
        ("woken", Goal(kind="woken")),
        ("0x100040", Goal(address=0x100040)),
        ("heap + 0x10", Goal(address=0xC00010)),
    ],
)
def test_goals_are_read_as_they_are_meant(text: str, goal: Goal) -> None:
    assert read_goal(text, aether()) == goal


@pytest.mark.parametrize("text", ["", "#x", "nowhere", "heap+x", "traps.c:1", "-1", "woke", "0x1" + "0" * 16])
def test_what_is_not_a_goal_is_one_clear_error(text: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_goal(text, aether())
    assert "\n" not in str(error.value)


def test_watches_are_read_as_they_are_meant() -> None:
    assert read_watch("heap 4096 rw", aether()) == (read_address("heap", aether()), 4096, "rw", None)
    assert read_watch("0x10", aether()) == (0x10, 1, "w", None)
    assert read_watch("gdt 8 r", aether()) == (read_address("gdt", aether()), 8, "r", None)
    for text in ("", "w", "heap x", "heap 1 2 3", "heap if", "heap if nowhere"):
        with pytest.raises(ConfigurationError):
            read_watch(text, aether())


def test_without_a_terminal_one_is_told_so() -> None:
    result = CliRunner().invoke(inspect, ["beacon"])
    assert isinstance(result.exception, ConfigurationError)
    assert "needs a terminal" in str(result.exception)


@pytest.mark.parametrize("arguments", [["nothing-such"], ["--cycles", "0"], ["beacon", "--engine", "native"]])
def test_what_cannot_be_run_is_reported_before_any_screen(arguments: list[str]) -> None:
    result = CliRunner().invoke(inspect, arguments)
    assert isinstance(result.exception, ConfigurationError)
    assert "terminal" not in str(result.exception)


def test_visitors_get_the_command_without_what_is_for_the_server() -> None:
    given = ["inspect", "counter", "--web", "--port", "9", "--host=::1", "--cycles", "3"]
    assert command_of(given).endswith("-m enclave_sim inspect counter --cycles 3")
