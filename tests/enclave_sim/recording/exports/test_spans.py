"""The rules that turn events into a timeline."""

import typing

import pytest
from hypothesis import given, settings

from enclave_sim import events as a
from enclave_sim.events import AnyEvent, HostCalled
from enclave_sim.recording.exports.spans import _RULES, Begin, End, Instant, MarkReader, Track, marks
from machine import events as e
from machine.events import Event, InterruptDelivered, InterruptRaised
from tests.enclave_sim.recording.exports.runs import EVENT_LISTS


def test_there_is_a_rule_for_every_kind_of_event() -> None:
    without = set(typing.get_args(AnyEvent)) - set(_RULES)
    assert not without, "add a rule for these to _RULES in enclave_sim/recording/exports/spans.py"
    assert set(_RULES) == set(typing.get_args(AnyEvent))


@settings(max_examples=200)
@given(events=EVENT_LISTS)
def test_all_that_begins_ends_and_time_never_goes_back(events: list[Event]) -> None:
    found = list(marks(events))
    times = [mark.at_ns for mark in found]
    assert times == sorted(times)
    for track in Track:
        depth = 0
        for mark in found:
            if mark.track is track and not isinstance(mark, Instant):
                depth += 1 if isinstance(mark, Begin) else -1
                assert depth >= 0
        assert depth == 0


def test_a_double_fault_shows_what_could_not_be_delivered() -> None:
    events = [
        InterruptRaised(0, 5, 14, "exception", 0, 64, 4096, 3),
        InterruptRaised(1, 5, 8, "exception", 0, None, 4096, 3),
        InterruptDelivered(2, 5, 8, 8192, 512),
    ]
    assert list(marks(events)) == [
        Instant(Track.INTERRUPTS, 5, "vector 0x0e not delivered", events[0]),
        Begin(Track.INTERRUPTS, 5, "vector 0x08", events[1]),
        End(Track.INTERRUPTS, 5, None),
    ]


def test_what_goes_on_when_the_recording_ends_is_ended_by_no_event() -> None:
    called = HostCalled(0, 5, 0, "get_status", 0)
    assert list(marks([called])) == [
        Begin(Track.HOST_CALLS, 5, "get_status", called),
        End(Track.HOST_CALLS, 5, None),
    ]


def shown(events: list[Event]) -> list[str]:
    """The marks of events: `+` begins, `-` ends, `.` is instantaneous; those of the end are omitted."""
    reader, found = MarkReader(), []
    for event in events:
        for mark in reader.read(event):
            assert mark.at_ns == event.at_ns
            sign = "+" if isinstance(mark, Begin) else "-" if isinstance(mark, End) else "."
            found.append(f"{sign} {mark.track.value}: {'' if isinstance(mark, End) else mark.name}".rstrip(": "))
    return found


def event(kind: type[Event], *fields: object) -> Event:
    """An event with these fields; the others are 0."""
    return kind(0, 5, *fields, *[0] * (len(kind.__struct_fields__) - 2 - len(fields)))


DELIVERED = (e.InterruptDelivered, 14, 0, 0)
ENTERED, LEFT = (e.RingTransition, 0, 3, "", None, None, 0, 0), (e.RingTransition, 3, 0, "", None, None, 0, 0)
SIDEWAYS = (e.RingTransition, 3, 3, "", None, None, 0, 0)


@pytest.mark.parametrize(
    ("happened", "marks"),
    [
        ([(e.ModeSwitched, "reset", "protected", 0)], ["+ Ring (CPL): ring 0", ". Processor: protected mode"]),
        ([(e.ModeSwitched, "protected", "long", 0)], [". Processor: long mode"]),
        ([ENTERED, LEFT], ["+ Ring (CPL): ring 3", "- Ring (CPL)", "+ Ring (CPL): ring 0"]),
        ([(e.RegisterWritten, "CR3", 0, 0, 0)], [". Processor: CR3 written"]),
        ([(e.DescriptorTableLoaded, "GDTR", 0, 0, 0)], [". Processor: GDTR loaded"]),
        ([(e.Shutdown, 8, 0)], [". Processor: shutdown"]),
        ([(e.Halted, False)], [". Processor: halted"]),
        ([(e.Halted, True)], ["+ Sleep: asleep"]),
        (
            [(e.Halted, True), (e.InterruptRaised, 32, "external", None, None, 0, 0), (e.InterruptDelivered, 32, 0, 0)],
            ["+ Sleep: asleep", "- Sleep", "+ Interrupts: vector 0x20"],
        ),
        ([DELIVERED, (e.InterruptReturned, 14, 0)], ["+ Interrupts: vector 0x0e", "- Interrupts"]),
        (
            [DELIVERED, DELIVERED, ENTERED],
            [*["+ Interrupts: vector 0x0e"] * 2, *["- Interrupts"] * 2, "+ Ring (CPL): ring 3"],
        ),
        ([DELIVERED, SIDEWAYS], ["+ Interrupts: vector 0x0e", "+ Ring (CPL): ring 3"]),
        ([DELIVERED, LEFT], ["+ Interrupts: vector 0x0e", "+ Ring (CPL): ring 0"]),
        (
            [(e.InterruptRaised, 13, "exception", None, None, 0, 0), DELIVERED],
            [". Interrupts: vector 0x0d not delivered", "+ Interrupts: vector 0x0e"],
        ),
        ([(e.InterruptReturned, 14, 0)], []),
        ([(e.SerialReceived, "0a0b0c")], [". Inputs: serial line: 3 bytes"]),
        ([(a.PhaseEntered, "MEM_MAP"), (a.PhaseCompleted, "MEM_MAP", "", 0)], ["+ Phases: MEM_MAP", "- Phases"]),
        ([(a.PayloadMeasured, 1, 2, "")], [". Payloads: payload 1 measured"]),
        ([(a.PayloadVerified, 1, "", False, False)], [". Payloads: payload 1 verified"]),
        ([(a.PayloadRejected, 1, "UNSIGNED", "")], [". Payloads: payload 1 rejected: UNSIGNED"]),
        ([(a.PcrExtended, 8, "kernel", "")], [". Attestation: PCR 8: kernel"]),
        ([(a.TpmCommandFailed, 0x158, 0x922)], [". Attestation: TPM command 0x158 failed: 0x922"]),
        ([(a.VerifierChallenged, 3, "")], [". Attestation: nonce for cycle 3"]),
        ([(a.AttestationDecided, 3, "refused", "")], [". Attestation: attestation refused"]),
        (
            [(a.CycleBegan, 0), (a.CycleBegan, 1), (a.CycleEnded, 1)],
            ["+ Cycles: cycle 0", "- Cycles", "+ Cycles: cycle 1", "- Cycles"],
        ),
        (
            [(a.GuestInstantiated, 0, 0), (a.GuestInstantiated, 1, 0), (a.GuestDestroyed,)],
            ["+ Guest: payload 0", "- Guest", "+ Guest: payload 1", "- Guest"],
        ),
        (
            [(a.GuestInstantiated, 0, 0), (a.HostCalled, 0, "x", 0), DELIVERED, (a.CycleEnded, 1)],
            [
                *("+ Guest: payload 0", "+ Host calls: x", "+ Interrupts: vector 0x0e"),
                *("- Host calls", "- Interrupts", "- Guest"),
            ],
        ),
        ([(a.GuestTrapped, "OVERFLOW", "")], [". Guest: OVERFLOW"]),
        (
            [(a.HostCalled, 0, "x", 0), (a.HostCalled, 0, "y", 0), (a.HostReturned, 0, 0)],
            ["+ Host calls: x", "- Host calls", "+ Host calls: y", "- Host calls"],
        ),
        ([(a.SignalEmitted, 0x12AB)], [". Signals: signal 0x000012ab"]),
        ([(a.ArenaAllocated, 0, 77)], [". Memory: arena: 77 bytes taken"]),
        ([(a.Scrubbed, "heap", 0, 0, "", True)], [". Memory: heap scrubbed"]),
        ([(a.WakeScheduled, 9)], [". Wakes: scheduled"]),
        ([(a.Woken, "timer", 0, 0)], [". Wakes: woken by timer"]),
        (
            [(a.PhaseEntered, "MEM_MAP"), (a.CycleBegan, 0), (a.AnnihilationBegan, "TAMPER", 0, "")],
            ["+ Phases: MEM_MAP", "+ Cycles: cycle 0", "- Phases", "- Cycles", "+ Annihilation: TAMPER"],
        ),
        ([(a.AnnihilationStep, "A1", "cut")], [". Annihilation: A1 cut"]),
        (
            [(a.HostCalled, 0, "x", 0), (a.AnnihilationStep, "A1", "cut"), (a.AnnihilationStep, "A2", "scrub")],
            ["+ Host calls: x", ". Annihilation: A1 cut", "- Host calls", ". Annihilation: A2 scrub"],
        ),
        ([(a.InputTaken, "tamper", None)], [". Inputs: tamper"]),
        ([(a.GuestReplaced, 1, "", 0)], [". Guest: payload 1 replaced"]),
    ],
)
def test_each_kind_of_event_is_shown_on_its_track(happened: list[tuple[type[Event], object]], marks: list[str]) -> None:
    assert shown([event(*one) for one in happened]) == marks


def test_an_interrupt_is_shown_with_what_raised_it_if_that_came_right_before() -> None:
    raised = InterruptRaised(0, 5, 14, "exception", 0, 64, 4096, 3)
    delivered = InterruptDelivered(1, 6, 14, 0, 0)
    (begun, *_) = marks([raised, delivered])
    assert begun == Begin(Track.INTERRUPTS, 6, "vector 0x0e", raised)
    late = InterruptDelivered(2, 7, 14, 0, 0)
    lost, begun, _ = [m for m in marks([raised, e.Halted(1, 6, False), late]) if m.track is Track.INTERRUPTS]
    assert lost == Instant(Track.INTERRUPTS, 5, "vector 0x0e not delivered", raised)
    assert isinstance(begun, Begin)
    assert begun.event == late
