"""The judge of lab `boot`: it makes the student's run itself, and compares the answers with its events."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.events import PhaseCompleted, PhaseEntered, WakeScheduled, Woken
from enclave_sim.labs.answers import Answers
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import Check, compare
from enclave_sim.labs.lab import ANSWERS, Judged
from enclave_sim.recording.recording import Recording
from enclave_sim.specification import Attestation, Phase
from machine.events import Halted, InterruptRaised, ModeSwitched, RingTransition

_START = b"""\
# Your answers. Numbers may be written as 1000 or 0x3e8.
[modes]
order = []
# long_at_ns =

[phases]
# PROT_ENTRY =
# MEM_MAP =
# WASM_INIT =
# EXEC_LOOP =

[rings]
# entries =
# by_timer =

[sleep]
# deadline_ns =
# slept_ns =
"""
_PARTS = ("modes", "phases", "rings", "sleep")


class BootCase(msgspec.Struct, frozen=True):
    """The run of one student."""

    payload: str
    cycles: int
    wake_ns: int
    quantum_ns: int
    ns_per_instruction: int
    attestation: Attestation

    @classmethod
    def of(cls, case: Case) -> "BootCase":
        """Return the run of a case. The digest computes long enough for its time slices to end."""
        speed = case.number("speed", 3, 60)
        return cls(
            "digest",
            case.number("cycles", 2, 4),
            case.number("wake", 200_000, 900_000) * 10 + 7,
            case.number("quantum", 15_000, 40_000) + speed * 1000,
            speed,
            case.choose("attestation", (Attestation.OFF, Attestation.RECORD)),
        )

    @property
    def command(self) -> str:
        """The command that makes the run."""
        return (
            f"enclave-sim run {self.payload} --cycles {self.cycles} --wake-ns {self.wake_ns} "
            f"--quantum-ns {self.quantum_ns} --ns-per-instruction {self.ns_per_instruction} "
            f"--attestation {self.attestation.value}"
        )

    def recording(self) -> Recording:
        """Make the run."""
        options = {name: getattr(self, name) for name in self.__struct_fields__ if name != "payload"}
        enclave = Enclave(self.payload, configuration=EnclaveConfiguration(**options))
        enclave.run()
        assert enclave.recording is not None
        return enclave.recording


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    return {"command": BootCase.of(case).command}


def inspected(case: Case, _directory: Path) -> list[str]:
    """Return the student's run."""
    return BootCase.of(case).command.split()[2:]


def start(_case: Case) -> dict[str, bytes]:
    """Return the starting point."""
    return {ANSWERS: _START}


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge the answers."""
    answers = Answers(files)
    if problem := answers.unreadable(_PARTS):
        return Judged(problem)
    mine = BootCase.of(case)
    run = mine.recording()
    checks = {
        "modes": tuple(_modes(answers, run)),
        "phases": tuple(_phases(answers, run)),
        "rings": tuple(_rings(answers, run)),
        "sleep": tuple(_sleep(answers, run, mine)),
    }
    return Judged(checks, (run.digest,))


def _modes(answers: Answers, run: Recording) -> Iterator[Check]:
    switches = run.of_kind(ModeSwitched)
    order = [one.mode for one in switches]
    without = tuple(mode for mode in order if mode != "compatibility")
    mistakes = {
        without: "One mode is missing: the processor was in long mode before it executed 64-bit code.",
        ("reset", *order): "Reset is where it came from, not a mode that it switched to.",
        ("real", *order): "A PC's firmware begins in real mode, but the loader hands the kernel another mode.",
    }
    yield compare("modes.order", answers.get("modes", "order"), order, mistakes, "These are not the modes, in order.")
    times = {one.mode: one.at_ns for one in switches}
    early = "There it entered long mode, in its 32-bit submode. 64-bit code begins with a far jump."
    yield compare(
        "modes.long_at_ns",
        answers.get("modes", "long_at_ns"),
        times["long"],
        {times["compatibility"]: early},
        "This is not the time of the switch to 64-bit code.",
    )


def _phases(answers: Answers, run: Recording) -> Iterator[Check]:
    reached = {one.phase: one.at_ns for one in run.of_kind(PhaseCompleted)}
    entered = {one.phase: one.at_ns for one in run.of_kind(PhaseEntered)}
    for phase in (one.name for one in Phase):
        others = {at_ns: f"There {other} reached its target state." for other, at_ns in reached.items()}
        begun = {at_ns: f"There {other} was entered; nothing was checked yet." for other, at_ns in entered.items()}
        yield compare(
            f"phases.{phase}",
            answers.get("phases", phase),
            reached[phase],
            {**others, **begun},
            "This is not the time at which its target state was reached.",
        )


def _rings(answers: Answers, run: Recording) -> Iterator[Check]:
    crossings = run.of_kind(RingTransition)
    entries = sum(one.to_ring == 3 for one in crossings)
    causes = _count([one.cause for one in crossings if one.to_ring == 0])
    both = "You counted both directions: leaving ring 3 is a transition, too."
    by_call = "So many came back by a software interrupt. The guest did not ask for the timer's."
    yield compare(
        "rings.entries",
        answers.get("rings", "entries"),
        entries,
        {len(crossings): both, causes.get("software_interrupt", 0): "You counted only those that end in a host call."},
        "This is not the number of transitions from ring 0 to ring 3.",
    )
    yield compare(
        "rings.by_timer",
        answers.get("rings", "by_timer"),
        causes.get("external_interrupt", 0),
        {
            causes.get("software_interrupt", 0): by_call,
            sum(one.source == "external" for one in run.of_kind(InterruptRaised)): (
                "You counted all interrupts of the timer. Those that end a sleep come in ring 0, and cross no ring."
            ),
        },
        "This is not the number of returns to ring 0 by an external interrupt.",
    )


def _sleep(answers: Answers, run: Recording, mine: BootCase) -> Iterator[Check]:
    scheduled = run.of_kind(WakeScheduled)
    last = scheduled[-1]
    halted = next(one for one in run.of_kind(Halted) if one.seq > last.seq)
    raised = next(one for one in run.of_kind(InterruptRaised) if one.seq > halted.seq)
    woken = run.of_kind(Woken)[-1]
    other = "That is another sleep. Answer for the last one."
    yield compare(
        "sleep.deadline_ns",
        answers.get("sleep", "deadline_ns"),
        last.deadline_ns,
        {
            **dict.fromkeys((one.deadline_ns for one in scheduled[:-1]), other),
            last.at_ns: "At this time the timer was armed. The deadline is when it fires.",
            last.at_ns + mine.wake_ns: (
                "The event comes some instructions after the timer was armed, so this is too late. It has the deadline."
            ),
            halted.at_ns: "Then the processor went to sleep. The deadline is when the timer fires.",
            woken.at_ns: "Then the handler noted that the sleep was over. The timer had fired before.",
            mine.wake_ns: "That is how long the timer was armed for. The deadline is a point of virtual time.",
        },
        "This is not the deadline of the last sleep.",
    )
    yield compare(
        "sleep.slept_ns",
        answers.get("sleep", "slept_ns"),
        raised.at_ns - halted.at_ns,
        {
            mine.wake_ns: "For so long the timer was armed; some instructions came before the HLT.",
            raised.at_ns - last.at_ns: "That begins when the timer was armed. The sleep begins at the HLT.",
            woken.at_ns - halted.at_ns: (
                "That ends with the event woken, which the handler records. The interrupt ended the sleep before."
            ),
            woken.at_ns
            - last.at_ns: "The sleep begins at the HLT and ends with the interrupt, inside these two events.",
            raised.at_ns: "That is when it ended, a point of virtual time. How long was it from the HLT to then?",
        },
        "This is not the time from the HLT to the interrupt.",
    )


def _count(causes: Sequence[Any]) -> dict[Any, int]:
    return {cause: causes.count(cause) for cause in causes}
