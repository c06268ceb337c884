"""The judge of lab `jitter`: it runs the mended kernel under loads that depend on the image, and asks the guarantee."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

import payloads as built_in
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.events import CycleBegan, CycleEnded, SignalEmitted, WakeScheduled, Woken
from enclave_sim.guarantees import Report, Run, Scenario, isolated, jitter_free, observe_scenario, zero_trace
from enclave_sim.inputs import ExternalInterrupt
from enclave_sim.labs.bounded import NoResult, piece
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import RIGHT, Check
from enclave_sim.labs.jitter.sources import Heartbeat, mistake, sources
from enclave_sim.labs.kernel import IMAGE, handed_in_kernel
from enclave_sim.labs.lab import Judged
from enclave_sim.labs.unknown_payload import unknown_payload
from enclave_sim.recording.text import one_line
from enclave_sim.specification import Attestation
from firmware import Firmware

_PARTS = ("window", "steady", "disturbed", "clean")
_PAYLOADS = ("counter", "digest")
"""Of different sizes, so the heartbeat takes different times."""
_CYCLES = 4
_LIMIT_NS = 6_000_000
_LONGEST_NS = 0xFFFF_FFF0
"""The longest sleep that can be configured."""
_SECONDS = 5
"""Limit of processor time of each piece after the first."""
_LATE_NS = 100
"""A wake that is later than that came while the kernel was busy."""
_NEAR_NS = 40
"""Interrupts of a disturbed sleep come so near to its deadline."""


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    mine = Heartbeat.of(case)
    return {"seed": hex(mine.seed), "factor": hex(mine.factor)}


def start(case: Case) -> dict[str, bytes]:
    """Return the starting point: sources with two mistakes."""
    return sources(case, mistake(case))


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge a kernel."""
    kernel, problem = handed_in_kernel(files)
    if kernel is None:
        return _nothing(problem)
    number = int.from_bytes(sha256(files[IMAGE]).digest(), "big")
    short, long = 2_000 + number % 9_000, 60_000 + number // 9_000 % 3_000 * 16 + 7
    mine = Heartbeat.of(case)
    try:
        with piece():
            runs = {wake_ns: _run(kernel, wake_ns) for wake_ns in (short, short + 1_001, long, long + 5)}
            unknown, payloads = _unknown(kernel, number, short)
            beats = next(_heartbeats(list(runs.values()), mine), "") or _imitated(unknown, payloads, mine)
    except NoResult as error:
        return _nothing(str(error))
    digests = [run.result.digest for run in runs.values()]
    if beats:
        return _nothing(beats, tuple(digests))
    checks = {"window": (_window([*runs.values(), unknown]),), "steady": (_steady([runs[long], runs[long + 5]]),)}
    if checks["steady"] == (RIGHT,):
        checks["steady"] = (_longer(kernel, number, digests),)
    if checks["window"] == checks["steady"] == (RIGHT,):
        checks |= _careful(kernel, runs, (short, long), mine, digests)
    else:
        checks |= {part: (Check(False, f"{part}: window and steady come first."),) for part in _PARTS[2:]}
    return Judged(checks, tuple(digests))


def _longer(kernel: Firmware, number: int, digests: list[str]) -> Check:
    """Judge a sleep of any length, and one near the longest: what divides sleeps, or counts otherwise, shows there."""
    middle = (120_000 << number // 27_000_000 % 15) + number // 9_000 % 3_000 * 16 + 7
    runs = []
    for wake_ns in (middle, _LONGEST_NS - number % 1_000_000_000):
        try:
            with piece(_SECONDS):
                options = EnclaveOptions.of(attestation=Attestation.OFF, cycles=2, wake_ns=wake_ns, firmware=kernel)
                runs.append(observe_scenario(Scenario(_PAYLOADS, options, (), _LIMIT_NS + wake_ns)))
        except NoResult as error:
            return Check(False, f"steady: With a sleep of {wake_ns} ns: {error}")
        digests.append(runs[-1].result.digest)
    return _steady(runs)


def _careful(
    kernel: Firmware, runs: Mapping[int, Run], disturbed: Sequence[int], mine: Heartbeat, digests: list[str]
) -> dict[str, tuple[Check]]:
    """Judge the parts for which sleeps are disturbed."""
    try:
        with piece(_SECONDS):
            others = [_run(kernel, wake_ns, _near(runs[wake_ns])) for wake_ns in disturbed]
            digests += [run.result.digest for run in others]
            everything = [*runs.values(), *others]
            if beats := next(_heartbeats(others, mine), ""):
                return {part: (Check(False, f"{part}: {beats}"),) for part in _PARTS[2:]}
            return {"disturbed": (_disturbed(everything, others),), "clean": (_clean(everything),)}
    except NoResult as error:
        return {part: (Check(False, f"{part}: {error}"),) for part in _PARTS[2:]}


def _nothing(problem: str, digests: tuple[str, ...] = ()) -> Judged:
    return Judged(dict.fromkeys(_PARTS, (Check(False, problem),)), digests)


def _run(kernel: Firmware, wake_ns: int, inputs: tuple[ExternalInterrupt, ...] = ()) -> Run:
    options = EnclaveOptions.of(attestation=Attestation.OFF, cycles=_CYCLES, wake_ns=wake_ns, firmware=kernel)
    return observe_scenario(Scenario(_PAYLOADS, options, inputs, _LIMIT_NS))


def _near(run: Run) -> tuple[ExternalInterrupt, ...]:
    """Return an interrupt just before, and one just after, deadlines of a run."""
    deadlines = [one.deadline_ns for one in run.events if isinstance(one, WakeScheduled)][:2]
    signs = (-1, 1)
    return tuple(
        ExternalInterrupt(at_ns=max(0, at + sign * _NEAR_NS)) for at, sign in zip(deadlines, signs, strict=False)
    )


def _heartbeats(runs: Sequence[Run], mine: Heartbeat) -> Iterator[str]:
    """Yield what is wrong with the heartbeats. They are the signals between two cycles."""
    right = [mine.of_payload(built_in.read(_PAYLOADS[cycle % 2])) for cycle in range(_CYCLES - 1)]
    for run in runs:
        found: list[list[int]] = []
        between = False
        for event in run.events:
            if isinstance(event, CycleEnded):
                between = True
                found.append([])
            elif isinstance(event, CycleBegan):
                between = False
            elif isinstance(event, SignalEmitted) and between:
                found[-1].append(event.value)
        if len(found) < _CYCLES:
            yield (
                f"A run ends after {len(found)} of its {_CYCLES} cycles ({run.result.outcome}). "
                "Try enclave-sim run counter digest --cycles 4 with your kernel."
            )
        elif not any(found):
            yield "There is no heartbeat between the cycles. It is what your kernel must do, punctually."
        elif any(len(one) != 1 for one in found[:-1]):
            yield "There must be one heartbeat after each cycle that is followed by another one."
        elif [one for several in found[:-1] for one in several] != right:
            yield "A heartbeat has another checksum than that of the payload of the cycle before."


def _unknown(kernel: Firmware, number: int, wake_ns: int) -> tuple[Run, list[bytes]]:
    """Run payloads that nobody knows in advance, of different sizes, and return them, too. The run's digest varies."""
    sizes = (0x400 + number % 0x400, 0x800 + number // 0x400 % 0x400)
    payloads = [unknown_payload(number.to_bytes(32, "big") + bytes([at]), size) for at, size in enumerate(sizes)]
    options = EnclaveOptions.of(attestation=Attestation.OFF, cycles=3, wake_ns=wake_ns, firmware=kernel)
    return observe_scenario(Scenario(payloads, options, limit_ns=_LIMIT_NS)), payloads


def _imitated(run: Run, payloads: Sequence[bytes], mine: Heartbeat) -> str:
    """Return what is wrong with the heartbeats for payloads that nobody knows in advance."""
    found = [event.value for event in run.events if isinstance(event, SignalEmitted)]
    right = [mine.of_payload(one) for one in payloads]
    return "" if found == right else "The heartbeat is not calculated: another payload shows it."


def _window(runs: Sequence[Run]) -> Check:
    latest = max((one.latency_ns or 0 for run in runs for one in run.events if isinstance(one, Woken)), default=0)
    if latest <= _LATE_NS:
        return RIGHT
    return Check(
        False,
        f"window: A wake-up came {latest} ns late: its deadline passed while interrupts were off. What does the kernel "
        "do between arming the timer and HLT?",
    )


def _steady(runs: Sequence[Run]) -> Check:
    report = jitter_free(runs)
    if report.holds:
        return RIGHT
    for words, lesson in (
        ("has its deadline", "The timer is not armed for the time that is configured."),
        ("was taken in ring 0", "The kernel takes interrupts awake. It should be asleep: HLT right after STI."),
        ("came", "A wake-up is late: at its deadline interrupts were off."),
    ):
        if found := [one.what for one in report.findings if words in one.what]:
            return Check(False, f"steady: {lesson} ({found[0]})")
    return Check(False, f"steady: {_first(report)}.")


def _disturbed(runs: Sequence[Run], disturbed: Sequence[Run]) -> Check:
    for run in disturbed:
        if not any(isinstance(one, Woken) and one.source == "external" for one in run.events):
            return Check(False, "disturbed: An external interrupt during a sleep does not end it, as it should.")
    report = jitter_free(runs)
    return RIGHT if report.holds else Check(False, f"disturbed: {_first(report)}.")


def _clean(runs: Sequence[Run]) -> Check:
    if unfinished := [run.result.outcome for run in runs if run.result.outcome != "COMPLETED"]:
        return Check(False, f"clean: A run ended as {unfinished[0]}.")
    for report in (zero_trace(runs), isolated(runs)):
        if not report.holds:
            return Check(False, f"clean: {report.guarantee} is broken: {_first(report)}.")
    return RIGHT


def _first(report: Report) -> str:
    return one_line(report.findings[0].what)[:200] if report.findings else report.verdict
