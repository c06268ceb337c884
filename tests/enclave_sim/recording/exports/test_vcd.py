"""Waveforms, read back with pyvcd's reader."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from vcd.reader import ScalarChange, StringChange, TokenKind, VectorChange, tokenize

from enclave_sim import Enclave
from enclave_sim.events import (
    AnnihilationBegan,
    AnnihilationStep,
    CycleBegan,
    CycleEnded,
    GuestInstantiated,
    HostCalled,
    HostReturned,
    PhaseEntered,
)
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.exports.vcd import InterruptFlag
from enclave_sim.recording.format import Header
from machine.events import (
    Event,
    Halted,
    InterruptDelivered,
    InterruptRaised,
    InterruptReturned,
    ModeSwitched,
    RingTransition,
)
from machine.processor.cpu import FLAG_IF
from tests.enclave_sim.recording.exports.runs import EVENT_LISTS, HEADER, RUNS, Run, exported, host_calls


class Waves:
    """The changes of each variable, by time."""

    def __init__(self, data: bytes) -> None:
        self.changes: defaultdict[str, list[tuple[int, Any]]] = defaultdict(list)
        names: dict[str, str] = {}
        sizes: dict[str, int] = {}
        now_ns = 0
        for token in tokenize(BytesIO(data)):
            if token.kind is TokenKind.TIMESCALE:
                assert str(token.timescale) == "1 ns"
            elif token.kind is TokenKind.VAR:
                names[token.var.id_code] = token.var.reference
                sizes[token.var.reference] = token.var.size
            elif token.kind is TokenKind.CHANGE_TIME:
                assert token.time_change >= now_ns
                now_ns = token.time_change
            elif isinstance(token.data, ScalarChange | VectorChange | StringChange):
                self.changes[names[token.data.id_code]].append((now_ns, token.data.value))
        self.end_ns = now_ns
        activity = {"cycle", "guest", "host_call", "annihilation", "sleep"}
        assert set(names.values()) == {"CPL", "mode", "IF", "vector", "phase"} | activity
        assert [sizes[name] for name in ("CPL", "IF", "vector", "cycle", "sleep")] == [2, 1, 8, 32, 1]

    def at(self, name: str, at_ns: int) -> Any:
        """The value after all changes at that time."""
        return self.changes[name][bisect_right([at for at, _ in self.changes[name]], at_ns) - 1][1]


@pytest.fixture
def waves(run: Run) -> Waves:
    return Waves(run.export(Format.VCD))


def test_cpl_follows_the_ring_transitions(run: Run, waves: Waves) -> None:
    expected = [(0, 0), *((event.at_ns, event.to_ring) for event in run.recording.of_kind(RingTransition))]
    assert waves.changes["CPL"] == expected


def test_cycle_guest_and_host_call_last_from_their_event_to_their_end(run_of: Callable[[str], Run]) -> None:
    run = run_of("counter")
    waves = Waves(run.export(Format.VCD))
    for began, ended in zip(run.recording.of_kind(CycleBegan), run.recording.of_kind(CycleEnded), strict=False):
        assert waves.at("cycle", began.at_ns) == began.cycle
        assert waves.at("cycle", ended.at_ns) == "z"
    for made in run.recording.of_kind(GuestInstantiated):
        assert waves.at("guest", made.at_ns) == f"payload_{made.payload}"
    for called, returned in zip(run.recording.of_kind(HostCalled), run.recording.of_kind(HostReturned), strict=True):
        assert waves.at("host_call", called.at_ns) == "emit_signal"
        assert waves.at("host_call", returned.at_ns - 1) == "emit_signal"
    assert {value for _, value in waves.changes["host_call"]} == {"none", "emit_signal"}


def test_sleep_lasts_from_the_halt_to_the_interrupt(run_of: Callable[[str], Run]) -> None:
    run = run_of("counter")
    waves = Waves(run.export(Format.VCD))
    halts = [event.at_ns for event in run.recording.of_kind(Halted) if event.interruptible]
    wakes = [event.at_ns for event in run.recording.of_kind(InterruptRaised) if event.source == "external"]
    assert waves.changes["sleep"] == [(0, "0"), *sorted([*((at, "1") for at in halts), *((at, "0") for at in wakes)])]


def test_annihilation_is_its_cause_and_then_its_steps(run: Run, waves: Waves) -> None:
    steps = [(step.at_ns, step.step) for step in run.result.annihilation]
    causes = [(began.at_ns, began.cause) for began in run.recording.of_kind(AnnihilationBegan)]
    shown = [change for change in waves.changes["annihilation"] if change[1] != "none"]
    assert shown == [*causes, *steps]


def test_an_interrupt_that_is_not_delivered_is_not_a_vector_in_service() -> None:
    """Vector 32 yields to 6, raised at the same time; 6 returns."""
    events: list[Event] = [
        InterruptRaised(0, 1, 0x20, "external", None, None, 0, 0),
        InterruptRaised(1, 2, 6, "exception", None, None, 0, 0),
        InterruptDelivered(2, 3, 6, 0, 0),
        InterruptReturned(3, 4, 6, 0),
    ]
    assert Waves(exported(HEADER, events, Format.VCD)).changes["vector"] == [(0, "z"), (3, 6), (4, "z")]


def test_the_mode_follows_the_mode_switches(run: Run, waves: Waves) -> None:
    assert waves.changes["mode"] == [(event.at_ns, event.mode) for event in run.recording.of_kind(ModeSwitched)]


def test_the_phase_is_what_was_entered_last(run: Run, waves: Waves) -> None:
    assert waves.changes["phase"] == [(0, "none"), *((phase.at_ns, phase.name) for phase in run.result.phases)]


def test_the_vector_is_that_of_the_handler_that_runs(run: Run, waves: Waves) -> None:
    for event in run.recording.of_kind(InterruptDelivered):
        assert waves.at("vector", event.at_ns) == event.vector
    for entered in run.recording.of_kind(RingTransition):
        if entered.to_ring == 3:
            assert waves.at("vector", entered.at_ns) == "z"


def test_if_is_clear_in_handlers_and_set_in_sleep(run_of: Callable[[str], Run]) -> None:
    run = run_of("counter")
    waves = Waves(run.export(Format.VCD))
    for event in run.recording.of_kind(InterruptDelivered):
        assert waves.at("IF", event.at_ns) == "0"
    wakes = [event for event in run.recording.of_kind(InterruptRaised) if event.source == "external"]
    assert len(wakes) == 2
    for wake in wakes:
        assert waves.at("IF", wake.at_ns - 1) == "1"


def test_the_last_time_is_that_of_the_last_event(run: Run, waves: Waves) -> None:
    assert waves.end_ns == run.recording.events[-1].at_ns


class _Beside:
    """Compares IF as derived from the events with the processor's."""

    def __init__(self) -> None:
        self.told = InterruptFlag()
        self.enclave: Enclave | None = None
        self.known = 0

    def record(self, event: Event) -> None:
        before = self.told.value
        self.told.read(event)
        if self.enclave is None:  # it is being made
            return
        true = int(bool(self.enclave.machine.cpu.rflags & FLAG_IF))
        if isinstance(event, InterruptRaised) and event.ring == 3:
            assert before in ("x", true)
        assert self.told.value in ("x", true)
        self.known += self.told.value != "x"


@pytest.mark.parametrize("name", RUNS)
def test_if_is_unknown_or_that_of_the_processor(name: str) -> None:
    payload, limit_ns, options = RUNS[name]
    beside = _Beside()
    beside.enclave = enclave = Enclave(payload, recorder=beside, **options)
    enclave.run(limit_ns)
    assert beside.known > 20


def test_of_other_kernels_no_gate_is_taken_for_an_interrupt_gate() -> None:
    told = InterruptFlag(enclave_kernel=False)
    found = []
    for event in (
        InterruptRaised(0, 0, 0x22, "external", None, None, 0, 3),
        InterruptDelivered(1, 0, 0x22, 0, 0),
        RingTransition(2, 0, 0, 3, "interrupt_return", None, None, 0, 0),
        Halted(3, 0, True),
    ):
        told.read(event)
        found.append(told.value)
    assert found == [1, "x", "x", 1]
    waves = Waves(exported(Header({"ram_size": 1 << 27}, "", ()), list(host_calls(2)), Format.VCD))
    assert [value for _, value in waves.changes["IF"]] == ["0", "x"]


def test_if_in_ring_3_is_known_until_another_guest_comes() -> None:
    told = InterruptFlag()
    interrupt = [
        InterruptRaised(0, 0, 0x22, "external", None, None, 0, 3),
        InterruptDelivered(1, 0, 0x22, 0, 0),
        RingTransition(2, 0, 3, 0, "external_interrupt", 0x22, None, 0, 0),
        RingTransition(3, 0, 0, 3, "interrupt_return", None, None, 0, 0),
    ]
    found = []
    for event in (*interrupt, CycleBegan(4, 0, 1), interrupt[-1]):
        told.read(event)
        found.append(told.value)
    assert found == [1, 0, 0, 1, 1, "x"]


@settings(max_examples=60)
@given(events=EVENT_LISTS)
def test_any_events_make_waves_that_can_be_read(events: list[Event]) -> None:
    Waves(exported(HEADER, events, Format.VCD))


def test_each_event_changes_the_variables_that_it_is_about() -> None:
    events: list[Event] = [
        ModeSwitched(0, 5, "reset", "protected", 0),
        PhaseEntered(1, 6, "PROT_ENTRY"),
        ModeSwitched(2, 7, "protected", "long", 0),
        RingTransition(3, 10, 0, 3, "interrupt_return", None, None, 0, 0),
        InterruptRaised(4, 20, 14, "exception", None, None, 0, 3),
        InterruptDelivered(5, 20, 14, 0, 0),
        RingTransition(6, 20, 3, 0, "exception", 14, None, 0, 0),
        InterruptRaised(7, 30, 0x22, "external", None, None, 0, 0),
        InterruptDelivered(8, 31, 0x22, 0, 0),
        InterruptReturned(9, 40, 0x22, 0),
        PhaseEntered(10, 45, "MEM_MAP"),
        InterruptReturned(11, 50, 14, 0),
        Halted(12, 60, True),
        Halted(13, 70, False),
        InterruptRaised(14, 71, 0x22, "external", None, None, 0, 0),
        AnnihilationStep(15, 72, "A2", ""),
        AnnihilationStep(16, 73, "A1", ""),
        Halted(17, 80, True),
    ]
    waves = Waves(exported(HEADER, events, Format.VCD))
    assert waves.changes == {
        "CPL": [(0, "x"), (5, 0), (10, 3), (20, 0)],
        "mode": [(0, "reset"), (5, "protected"), (7, "long")],
        "IF": [(0, "x"), (5, "0"), (10, "x"), (20, "0"), (30, "1"), (31, "0"), (40, "x"), (60, "1"), (70, "0"),
               (71, "1"), (73, "0")],
        "vector": [(0, "z"), (20, 14), (31, 0x22), (40, 14), (50, "z")],
        "phase": [(0, "none"), (6, "PROT_ENTRY"), (45, "MEM_MAP")],
        "sleep": [(0, "0"), (60, "1"), (71, "0"), (80, "1")],
        "annihilation": [(0, "none"), (72, "A2"), (73, "A1")],
        "cycle": [(0, "z")],
        "guest": [(0, "none")],
        "host_call": [(0, "none")],
    }  # fmt: skip
    assert waves.end_ns == 80
