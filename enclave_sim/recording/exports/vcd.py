"""Recordings as waveforms: a Value Change Dump of what runs, in which ring, mode and phase (IEEE 1364, clause 18).

Written by pyvcd. One time unit is one virtual nanosecond. A value that no event reports is unknown (`x`), never
guessed. `vector` is that of the innermost handler, high impedance (`z`) while there is none; `phase` is the one last
entered. `cycle`, `guest`, `host_call` and `sleep` have a value as long as the slice of that track lasts (spans.py).
`annihilation` is its cause, then the step done last.

IF is known

* at reset: 0, as Multiboot2 hands the machine over;
* when an external interrupt is taken: 1, because it was not masked;
* in a handler: 0, since all gates of the kernel's IDT are interrupt gates;
* back in ring 3: the value when the interrupt was raised there, since ring 3 cannot change it;
* while halted, and from step A1 of annihilation on (0).

For other kernels (`enclave-sim boot`) less is known about IF: they may have trap gates, and let ring 3 change it. CLI
and STI cause no event. So a value holds until an event reports another one, or that it may have changed.
"""

import io
import re
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, ClassVar

from vcd import VCDWriter

from enclave_sim.events import AnnihilationStep, CycleBegan, PhaseEntered
from enclave_sim.recording.exports.spans import Begin, End, Instant, Mark, MarkReader, Track, of_an_enclave
from enclave_sim.recording.format import Header
from enclave_sim.specification import Step
from machine.events import (
    Event,
    Halted,
    InterruptDelivered,
    InterruptRaised,
    InterruptReturned,
    ModeSwitched,
    RingTransition,
)

_UNKNOWN, _NONE = "x", "z"


class InterruptFlag:
    """The value of RFLAGS.IF, as far as the events so far determine it."""

    def __init__(self, *, enclave_kernel: bool = True) -> None:
        self._enclave_kernel = enclave_kernel
        self.value: int | str = _UNKNOWN
        """0, 1 or `x`."""
        self._in_ring_3: int | str = _UNKNOWN
        """The value when ring 3 was left for a handler."""
        self._annihilating = False

    def read(self, event: Event) -> None:
        """Take one event."""
        rule = self._RULES.get(type(event))
        if rule is not None and not self._annihilating:
            rule(self, event)

    def _mode_switched(self, event: ModeSwitched) -> None:
        if event.previous == "reset":
            self.value = 0

    def _raised(self, event: InterruptRaised) -> None:
        if event.source == "external":
            self.value = 1
        if event.ring == 3:
            self._in_ring_3 = self.value

    def _delivered(self, _event: InterruptDelivered) -> None:
        self.value = 0 if self._enclave_kernel else _UNKNOWN

    def _returned(self, _event: InterruptReturned) -> None:
        self.value = _UNKNOWN

    def _ring_transition(self, event: RingTransition) -> None:
        if event.to_ring == 3:
            self.value = self._in_ring_3 if self._enclave_kernel else _UNKNOWN

    def _cycle_began(self, _event: CycleBegan) -> None:
        self._in_ring_3 = _UNKNOWN  # the guest of this cycle has not been interrupted yet

    def _halted(self, event: Halted) -> None:
        self.value = int(event.interruptible)

    def _annihilation_step(self, event: AnnihilationStep) -> None:
        if event.step == Step.A1.name:
            self.value, self._annihilating = 0, True

    _RULES: ClassVar[dict[type[Event], Callable[[Any, Any], None]]] = {
        ModeSwitched: _mode_switched,
        InterruptRaised: _raised,
        InterruptDelivered: _delivered,
        InterruptReturned: _returned,
        RingTransition: _ring_transition,
        CycleBegan: _cycle_began,
        Halted: _halted,
        AnnihilationStep: _annihilation_step,
    }


def write(header: Header, events: Iterable[Event], file: BinaryIO) -> None:
    """Write the recording's waveforms, in constant memory."""
    text = io.TextIOWrapper(file, "ascii", newline="\n")
    try:
        _write(events, text, InterruptFlag(enclave_kernel=of_an_enclave(header)))
    finally:
        text.detach()  # the file is the caller's, and stays open


def _write(events: Iterable[Event], text: io.TextIOWrapper, interrupt_flag: InterruptFlag) -> None:
    writer = VCDWriter(text, timescale="1 ns", date="", comment="enclave-sim: one unit is one virtual nanosecond")
    cpl = writer.register_var("enclave", "CPL", "wire", size=2)
    mode = writer.register_var("enclave", "mode", "string", init="reset")
    flag = writer.register_var("enclave", "IF", "wire", size=1)
    vector = writer.register_var("enclave", "vector", "wire", size=8, init=_NONE)
    phase = writer.register_var("enclave", "phase", "string", init="none")
    activity = _Activity(writer)
    reader, in_service = MarkReader(), list[int]()
    now_ns = 0
    for event in events:
        now_ns = event.at_ns
        for mark in reader.read(event):
            if mark.track is Track.INTERRUPTS:
                if isinstance(mark, End):
                    in_service.pop()
                elif isinstance(mark, Begin) and isinstance(mark.event, InterruptRaised | InterruptDelivered):
                    in_service.append(mark.event.vector)
                writer.change(vector, now_ns, in_service[-1] if in_service else _NONE)
            activity.take(mark, now_ns)
        if isinstance(event, ModeSwitched):
            writer.change(mode, now_ns, event.mode)
            if event.previous == "reset":
                writer.change(cpl, now_ns, 0)
        elif isinstance(event, RingTransition):
            writer.change(cpl, now_ns, event.to_ring)
        elif isinstance(event, PhaseEntered):
            writer.change(phase, now_ns, event.phase)
        interrupt_flag.read(event)
        writer.change(flag, now_ns, interrupt_flag.value)
    writer.close(now_ns)


class _Activity:
    """The variables that follow the slices of a track."""

    def __init__(self, writer: VCDWriter) -> None:
        self._writer = writer
        self._cycle = writer.register_var("enclave", "cycle", "wire", size=32, init=_NONE)
        self._words = {
            Track.GUEST: writer.register_var("enclave", "guest", "string", init="none"),
            Track.HOST_CALLS: writer.register_var("enclave", "host_call", "string", init="none"),
            Track.ANNIHILATION: writer.register_var("enclave", "annihilation", "string", init="none"),
        }
        self._sleep = writer.register_var("enclave", "sleep", "wire", size=1, init=0)

    def take(self, mark: Mark, now_ns: int) -> None:
        """Change the variable that a mark is about, if there is one."""
        event = mark.event if isinstance(mark, Begin) else None
        if mark.track is Track.CYCLES:
            self._writer.change(self._cycle, now_ns, event.cycle if isinstance(event, CycleBegan) else _NONE)
        elif mark.track is Track.SLEEP:
            self._writer.change(self._sleep, now_ns, int(isinstance(mark, Begin)))
        elif isinstance(mark.event, AnnihilationStep) and mark.track is Track.ANNIHILATION:
            self._writer.change(self._words[mark.track], now_ns, _word(mark.event.step))
        elif mark.track in self._words and not isinstance(mark, Instant):
            word = _word(mark.name) if isinstance(mark, Begin) else "none"
            self._writer.change(self._words[mark.track], now_ns, word)


def _word(name: str) -> str:
    """Return a name in the form that VCD accepts: printable ASCII, without spaces, and not empty."""
    return re.sub(r"[^!-~]+", "_", name) or "_"
