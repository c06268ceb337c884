"""The judge of lab `longmode`: it boots the mended kernel, and looks at the processor when 64-bit code begins."""

from collections.abc import Iterator, Mapping

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.events import PhaseCompleted
from enclave_sim.guarantees import Run, Scenario, isolated, observe_scenario, zero_trace
from enclave_sim.labs.answers import Answers
from enclave_sim.labs.bounded import NoResult, piece
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import RIGHT, Check, compare
from enclave_sim.labs.kernel import handed_in_kernel
from enclave_sim.labs.lab import ANSWERS, Judged
from enclave_sim.labs.longmode.defects import SOURCE, Defect, boot_source, defects, selector
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.text import one_line
from enclave_sim.specification import Attestation, Phase
from firmware import Firmware, layout
from machine.events import Event, ModeSwitched, RingTransition

_START = b"""\
# The first two exceptions of the switch. Numbers may be written as 13 or 0xd.
[first]
# vector =
# error_code =

[second]
# vector =
# error_code =
"""
_PARTS = ("faults", "switch", "kernel", "guest")
_PAYLOAD = "counter"
_LIMIT_NS = 2_000_000
_DOUBLE_FAULT = 8
_CR0 = {"PG": 1 << 31, "WP": 1 << 16, "PE": 1}
"""The bits that the kernel requires at the end of PROT_ENTRY."""


class _Switch:
    """A recorder that notes how 64-bit code begins."""

    def __init__(self) -> None:
        self.enclave: Enclave
        self.selector: int | None = None
        """CS of the first 64-bit instruction; None if there was none."""
        self.reached_long_mode = False
        self.locked = self.entered_ring_3 = False
        self.lacking = ""
        """The first thing that the state at the end of PROT_ENTRY lacks, whatever the kernel says; or empty."""

    def record(self, event: Event) -> None:
        """Take one event as it happens."""
        if isinstance(event, ModeSwitched):
            self.reached_long_mode |= event.mode in ("compatibility", "long")
            if event.mode == "long" and self.selector is None:
                self.selector = self.enclave.machine.cpu.read_register("CS")
        elif isinstance(event, PhaseCompleted):
            if event.phase == Phase.PROT_ENTRY.name:
                self.locked, self.lacking = True, self._lacking()
        elif isinstance(event, RingTransition):
            self.entered_ring_3 |= event.to_ring == 3

    def _lacking(self) -> str:
        cpu = self.enclave.machine.cpu
        if cpu.read_register("CR3") != layout()["PML4_ACTIVE"]:
            return "CR3 has other tables than PML4_ACTIVE"
        return next((f"CR0.{name} is clear" for name, bit in _CR0.items() if not cpu.read_register("CR0") & bit), "")


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    return {"selector": hex(selector(case))}


def start(case: Case) -> dict[str, bytes]:
    """Return the starting point: the broken source, and empty answers."""
    return {ANSWERS: _START, SOURCE: boot_source(case, *defects(case))}


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge the answers and the mended kernel."""
    faults = tuple(_faults(Answers(files), case))
    kernel, problem = handed_in_kernel(files)
    if kernel is None:
        return Judged({**dict.fromkeys(_PARTS, (Check(False, problem),)), "faults": faults})
    try:
        with piece():
            seen, result = _booted(kernel)
    except NoResult as error:
        return Judged({**dict.fromkeys(_PARTS, (Check(False, str(error)),)), "faults": faults})
    checks = {"faults": faults, "switch": (_switch(seen, case, result),)}
    if checks["switch"] == (RIGHT,):
        checks["kernel"] = (_kernel(seen, result),)
    else:
        checks["kernel"] = (Check(False, "kernel: the switch comes first."),)
    runs: tuple[str, ...] = (result.digest,)
    if checks["kernel"] == (RIGHT,):
        try:
            with piece():
                checks["guest"], digest = _guest(kernel)
            runs = (*runs, digest)
        except NoResult as error:
            checks["guest"] = (Check(False, f"guest: {error}"),)
    else:
        checks["guest"] = (Check(False, "guest: the kernel's own boot comes first."),)
    return Judged(checks, runs)


def _faults(answers: Answers, case: Case) -> Iterator[Check]:
    """Yield what is wrong. Both exceptions are needed, because many students have the same first one."""
    if answers.problem:
        yield Check(False, answers.problem)
        return
    checks, (first, second, _) = [], defects(case)
    for name, defect in (("first", first), ("second", second)):
        vector, error_code = _fault(answers, name, defect, selector(case))
        checks.append(error_code if vector.right else vector)
    yield from [one for one in checks if not one.right] or (RIGHT,)


def _fault(answers: Answers, name: str, defect: Defect, far: int) -> Iterator[Check]:
    """Compare the two answers about one exception: only both together are worth something."""
    mistakes = {
        _DOUBLE_FAULT: "That is the double fault, which follows if the first one has no handler. Which one came first?",
        13 if defect.vector == 14 else 14: "It is not this one: look at the first event interrupt_raised.",
        11 if defect.vector == 13 else 13: "It is a similar one: the descriptor's present bit decides which.",
    }
    given = answers.get(name, "vector")
    yield compare(f"{name}.vector", given, defect.vector, mistakes, "Another exception was raised first.")
    right = far if defect.error_code is None else defect.error_code
    mistakes = {
        far // 8: "That is the descriptor's index. The error code has it in bits 3 and up.",
        layout()["KERNEL_CODE"]: "That is the kernel's code segment. The switch uses another descriptor.",
        right ^ 1: "Bit 0 of this error code is wrong. See the format for this vector in the manual.",
        0: "This error code is not zero: it says what was at fault.",
    }
    given = answers.get(name, "error_code")
    yield compare(f"{name}.error_code", given, right, mistakes, "Another error code was pushed.")


def _booted(kernel: Firmware) -> tuple[_Switch, RunResult]:
    seen = _Switch()
    seen.enclave = Enclave(_PAYLOAD, firmware=kernel, attestation=Attestation.OFF, recorder=seen, record=False)
    return seen, seen.enclave.run(_LIMIT_NS)


def _switch(seen: _Switch, case: Case, result: RunResult) -> Check:
    right = selector(case)
    if seen.selector == right:
        return RIGHT
    if seen.selector == layout()["KERNEL_CODE"]:
        return Check(
            False,
            "switch: 64-bit code begins with CS 8, the kernel's own segment: either this is not your boot.S, or the "
            "far jump landed in 32-bit code.",
        )
    if seen.selector is not None:
        return Check(False, f"switch: 64-bit code begins with CS {seen.selector:#x}; yours is {right:#x}.")
    if seen.reached_long_mode:
        return Check(False, f"switch: EFER.LMA is set, but the far jump is refused ({_ended(result)}).")
    return Check(False, f"switch: The processor does not come to long mode ({_ended(result)}). What does CR0.PG need?")


def _kernel(seen: _Switch, result: RunResult) -> Check:
    if seen.lacking:
        return Check(False, f"kernel: Phase PROT_ENTRY ends without its target state: {seen.lacking}.")
    if seen.locked and seen.entered_ring_3:
        return RIGHT
    if seen.locked:
        return Check(False, f"kernel: It boots, but IRETQ does not come to ring 3 ({_ended(result)}).")
    return Check(False, f"kernel: Phase PROT_ENTRY does not reach its target state ({_ended(result)}).")


def _guest(kernel: Firmware) -> tuple[tuple[Check, ...], str]:
    run, model = (_observed(one) for one in (kernel, None))
    served = run.result.outcome == model.result.outcome and run.result.signals == model.result.signals
    wrong = [] if served else [f"guest: The guest is not served as it should be ({_ended(run.result)})."]
    for report in (isolated([run]), zero_trace([run])):
        if report.findings:
            wrong.append(f"guest: {report.guarantee} is broken: {one_line(report.findings[0].what)[:200]}.")
    return tuple(Check(False, one) for one in wrong) or (RIGHT,), run.result.digest


def _observed(kernel: Firmware | None) -> Run:
    options = EnclaveOptions.of(attestation=Attestation.OFF, cycles=2, wake_ns=50_000, firmware=kernel)
    return observe_scenario(Scenario(_PAYLOAD, options, limit_ns=_LIMIT_NS))


def _ended(result: RunResult) -> str:
    return one_line(f"{result.outcome}{': ' if result.detail else ''}{result.detail}")[:200]
