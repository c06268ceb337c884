"""Jitter-free: the timer ends each sleep at its deadline, to the nanosecond, whatever ran before."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from enclave_sim import events
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.observation import Run, Scenario
from enclave_sim.guarantees.report import Finding, Report
from enclave_sim.inputs import ExternalInterrupt
from machine.events import Halted, InterruptRaised

_BAR = 40
_MIN_WAKE_NS, _MAX_WAKE_NS = 1_000, 3_000_000
_STI_HLT_BYTES = 2
_WINDOW_NS = 300
"""About the time for which the kernel disables interrupts for one interrupt."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """A sleep, from arming the timer to the wake."""

    scheduled: events.WakeScheduled
    halted_ns: int | None
    """Virtual time at which the processor went to sleep, if it did."""
    woken: events.Woken


def sleeps(run: Run) -> Iterator[Sleep]:
    """Yield the completed sleeps of a run."""
    scheduled: events.WakeScheduled | None = None
    halted_ns: int | None = None
    for event in run.events:
        if isinstance(event, events.WakeScheduled):
            scheduled, halted_ns = event, None
        elif isinstance(event, Halted) and event.interruptible and halted_ns is None:
            halted_ns = event.at_ns
        elif isinstance(event, events.Woken) and scheduled is not None:
            yield Sleep(scheduled, halted_ns, event)
            scheduled = None


def jitter_free(runs: Sequence[Run]) -> Report:
    """Judge that the latency from deadline to handler is constant, and that deadlines are as configured.

    The kernel's worst case is the time from arming the timer until HLT, during which interrupts are off. It is the same
    in every sleep; a deadline within it is an overrun, and its wake is late.

    Args:
        runs: The runs, of any scenarios; those of `loads` vary the load during sleeps.

    Returns:
        The report, with a histogram of latencies in ns.
    """
    latencies: Counter[int] = Counter()
    windows: set[int] = set()
    offsets: dict[int, set[int]] = {}
    findings: list[Finding] = []
    for run in runs:
        wake_ns = run.scenario.configuration.wake_ns
        ns_per_instruction = run.scenario.configuration.ns_per_instruction
        findings += _taken_awake(run)
        for sleep in sleeps(run):
            offset = sleep.scheduled.deadline_ns - sleep.scheduled.at_ns - wake_ns
            offsets.setdefault(ns_per_instruction, set()).add(offset)
            if sleep.halted_ns is not None:
                windows.add(sleep.halted_ns - sleep.scheduled.at_ns)
            if sleep.woken.latency_ns is not None:
                latencies[sleep.woken.latency_ns] += 1
            findings += _faults(sleep, wake_ns, ns_per_instruction)
    if len(latencies) > 1:
        findings.append(Finding(f"latency varies from {min(latencies)} to {max(latencies)} ns"))
    findings += [
        Finding(f"deadlines are off by {min(seen)} to {max(seen)} ns: the timer drifts")
        for seen in offsets.values()
        if len(seen) > 1
    ]
    looked = {
        "runs": len(runs),
        "wakes": sum(latencies.values()),
        "latency ns": _range(latencies),
        "worst case ns": _range(windows),
    }
    return Report("jitter-free", tuple(findings), looked, histogram(latencies))


def _taken_awake(run: Run) -> Iterator[Finding]:
    """Find interrupts taken in ring 0, where they are disabled except right after the HLT in idle()."""
    after_halt = run.scenario.configuration.kernel.symbols["idle"] + _STI_HLT_BYTES
    for event in run.events:
        if isinstance(event, InterruptRaised) and (event.source, event.ring) == ("external", 0):
            if event.rip == after_halt:
                continue
            yield Finding(f"interrupt {event.vector} was taken in ring 0 at {event.rip:#x}", event.at_ns)


def _range(values: Counter[int] | set[int]) -> str:
    if not values:
        return "none"
    least, most = min(values), max(values)
    return str(least) if least == most else f"{least} to {most}"


def _faults(sleep: Sleep, wake_ns: int, ns_per_instruction: int) -> Iterator[Finding]:
    woken, deadline_ns = sleep.woken, sleep.scheduled.deadline_ns
    armed_ns = deadline_ns - wake_ns
    # The timer is armed one store before the kernel reports it.
    if not 0 <= sleep.scheduled.at_ns - armed_ns <= _REPORTED_WITHIN * ns_per_instruction:
        what = f"a sleep of {wake_ns} ns has its deadline {deadline_ns - sleep.scheduled.at_ns} ns from its start"
        yield Finding(what, sleep.scheduled.at_ns)
    if woken.deadline_ns is None or woken.latency_ns is None:
        return
    if woken.deadline_ns != deadline_ns:
        yield Finding(f"the timer was to fire at {deadline_ns} ns and fired at {woken.deadline_ns} ns", woken.at_ns)
    if woken.latency_ns:
        late = sleep.halted_ns is None or sleep.halted_ns >= deadline_ns
        why = "overrun: the deadline came while interrupts were off: " if late else ""
        yield Finding(f"{why}a wake due at {deadline_ns} ns came {woken.latency_ns} ns late", woken.at_ns)


_REPORTED_WITHIN = 8
"""Maximum number of instructions between arming the timer and reporting it."""


def histogram(latencies: Counter[int]) -> tuple[str, ...]:
    """Return a bar for each latency, in ns."""
    most = max(latencies.values(), default=1)
    return tuple(f"{ns:>8} ns  {'█' * max(1, _BAR * n // most)} {n}" for ns, n in sorted(latencies.items()))


def loads(scenario: Scenario, count: int, seed: int) -> Iterator[Scenario]:
    """Yield the scenario's guest under varied load: other sleeps and time slices, and interrupts around the deadlines.

    Args:
        scenario: The scenario.
        count: Number of loads, at least 1.
        seed: Chooses the loads.

    Yields:
        A scenario without interrupts for each load, and one with interrupts if it has deadlines.

    Raises:
        ConfigurationError: `count` is below 1.
    """
    if count < 1:
        raise ConfigurationError(f"count is {count}; it must be at least 1")
    random = Random(seed)
    cycles = max(3, scenario.configuration.cycles)
    for _ in range(count):
        wake_ns = random.randint(_MIN_WAKE_NS, _MAX_WAKE_NS)
        quantum_ns = random.choice([20_000, 100_000, 1_000_000, 10_000_000])
        options = scenario.options.with_configuration(cycles=cycles, wake_ns=wake_ns, quantum_ns=quantum_ns)
        calm = replace(scenario, options=options)
        yield calm
        deadlines = [e.deadline_ns for e in _recorded(calm) if isinstance(e, events.WakeScheduled)]
        if deadlines:
            near = random.choice(deadlines) + random.randint(-_WINDOW_NS, _WINDOW_NS)
            anywhere = random.randint(0, deadlines[-1])
            disturbing = tuple(ExternalInterrupt(at_ns=max(0, at)) for at in (near, anywhere))
            yield replace(calm, inputs=(*scenario.inputs, *disturbing))


def _recorded(scenario: Scenario) -> Sequence[object]:
    enclave = scenario.enclave()
    enclave.run(scenario.limit_ns)
    return enclave.recording.events if enclave.recording is not None else ()
