"""The judge of lab `sandbox`: it runs the exploit beside a payload with a secret, and asks the mended validator.

The judge signs all modules itself, and signatures vary. So its digests are those of runs of built-in payloads only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.events import CycleBegan, SignalEmitted
from enclave_sim.labs.bounded import Bounds, NoResult, piece
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import RIGHT, Check
from enclave_sim.labs.kernel import IMAGE, handed_in_kernel
from enclave_sim.labs.lab import Judged
from enclave_sim.labs.sandbox import hole, modules
from enclave_sim.labs.unknown_payload import signed, unknown_payload
from enclave_sim.payload.errors import MalformedModule
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.text import one_line
from enclave_sim.specification import Attestation, EngineName
from firmware import Firmware, built_in, layout

EXPLOIT = "exploit.wasm"
_PARTS = ("hole", "leak", "steal", "mend")
_STAGING, _LINE = layout()["STAGING_BASE"], 64
_SIZE = 0x3000
"""The least size of the other payload."""
_LIMIT_NS = 50_000_000
_MEND_SECONDS = 10
"""Limit of processor time for all modules on the mended kernel."""
_BUILT_IN = ("beacon", "digest")
_TRAPS = ("#PF", "#UD", "#DE")


@dataclass(frozen=True)
class Numbers:
    """The numbers of one student."""

    token: int
    secret: int
    """The address of the word to steal."""
    limit: int

    @classmethod
    def of(cls, case: Case) -> "Numbers":
        """Return the numbers of a case."""
        token = case.number("token", 0x1_0000, 0x7FFF_FFFF)
        return cls(token, _STAGING + 0x1000 + 8 * case.number("secret", 0, 0x3FF), hole.limit(case))


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    mine = Numbers.of(case)
    return {"token": hex(mine.token), "secret": hex(mine.secret), "limit": str(mine.limit)}


def start(case: Case) -> dict[str, bytes]:
    """Return the starting point: the kernel in service, its sources, and a module that does no harm."""
    image, text = hole.vulnerable().image, modules.skeleton(Numbers.of(case).token)
    return {"vulnerable.elf": image, "exploit.wat": text, **hole.sources(case)}


def inspected(_case: Case, directory: Path) -> list[str]:
    """Return a run on the vulnerable kernel."""
    engine = ["--engine", EngineName.RESIDENT.value, "--attestation", Attestation.OFF.value]
    return ["beacon", "--firmware", str(directory / "vulnerable.elf"), *engine]


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge the exploit and the mended kernel."""
    mine = Numbers.of(case)
    checks = dict(zip(("hole", "leak", "steal"), _exploit(mine, files), strict=True))
    checks["mend"], digests = _mend(mine, files)
    return Judged({part: tuple(several) for part, several in checks.items()}, digests)


def _exploit(mine: Numbers, files: Mapping[str, bytes]) -> tuple[list[Check], ...]:
    module, problem = _module(files)
    ran: list[_Ran] = []
    if not problem:
        try:
            with piece():
                ran, problem = _outcomes(module)
        except NoResult as error:
            problem = f"hole: {error}"
    if not problem and any(one.signals[:1] != [mine.token] for one in ran):
        problem = "hole: The first signal of your module is not your token."
    if problem:
        return [Check(False, problem)], *([Check(False, f"{part}: the hole comes first.")] for part in _PARTS[1:3])
    return [RIGHT], [_leak(ran)], [_steal(mine, ran)]


def _module(files: Mapping[str, bytes]) -> tuple[bytes, str]:
    """Return the exploit, signed, or the problem."""
    if EXPLOIT not in files:
        return b"", f"{EXPLOIT} is missing."
    try:
        return signed(files[EXPLOIT]), ""
    except MalformedModule as error:
        return b"", f"{EXPLOIT} is not a module: {one_line(str(error))[:200]}."


@dataclass(frozen=True)
class _Ran:
    """The exploit's cycle in one run."""

    signals: list[int]
    neighbour: bytes
    base: int
    """The address at which the exploit was staged."""
    length: int
    result: RunResult


def _outcomes(module: bytes) -> tuple[list[_Ran], str]:
    """Run the exploit on the built-in kernel, which must refuse it, and twice beside another payload.

    Returns:
        The runs beside another payload, or the problem.
    """
    refused = run_alone(module, built_in())
    if refused.outcome != "PAYLOAD_REJECTED":
        return [], "hole: The built-in validator accepts your module as well: it does not use the hole."
    if hole.REASON not in refused.detail:
        return [], f"hole: The built-in validator refuses it for another reason ({one_line(refused.detail)[:200]})."
    found: list[_Ran] = []
    for number in range(2):
        seed = sha256(module[-64:] + bytes([number])).digest()
        beside = unknown_payload(seed, _SIZE + seed[0] * _LINE + number * 256 * _LINE)
        result, signals = _beside(beside, module)
        if result.outcome == "PAYLOAD_REJECTED":
            return [], f"hole: The vulnerable kernel refuses it, too ({one_line(result.detail)[:200]})."
        base = _STAGING + -(-len(beside) // _LINE) * _LINE
        found.append(_Ran(signals, beside, base, len(module), result))
    return found, ""


def run_alone(module: bytes, kernel: Firmware) -> RunResult:
    """Run a signed module on a kernel, for one cycle."""
    bounds, options = (
        Bounds(),
        EnclaveOptions.of(engine=EngineName.RESIDENT, attestation=Attestation.OFF, firmware=kernel),
    )
    return bounds.run(options.enclave(module, recorder=bounds, record=False), _LIMIT_NS)


def _beside(beside: bytes, module: bytes) -> tuple[RunResult, list[int]]:
    """Run the exploit in the cycle after another payload's. Return its signals, too."""
    bounds = Bounds()
    enclave = Enclave(
        [beside, module],
        recorder=bounds,
        engine=EngineName.RESIDENT,
        attestation=Attestation.OFF,
        firmware=hole.vulnerable(),
        cycles=2,
        wake_ns=50_000,
    )
    result, cycle, signals = bounds.run(enclave, _LIMIT_NS), -1, []
    assert enclave.recording is not None
    for event in enclave.recording.events:
        if isinstance(event, CycleBegan):
            cycle = event.cycle
        elif isinstance(event, SignalEmitted) and cycle == 1:
            signals.append(event.value)
    return result, signals


def _leak(ran: Sequence[_Ran]) -> Check:
    first, second = ran
    if any(len(one.signals) < 2 for one in ran):
        return Check(False, f"leak: There is no second signal{_trap(ran)}.")
    inside = [one.base <= one.signals[1] < one.base + one.length for one in ran]
    if all(inside) and first.signals[1] - first.base == second.signals[1] - second.base:
        return RIGHT
    if first.signals[1] == second.signals[1]:
        text = "it is the same wherever your module is staged. A return address moves with it."
    elif any(one.signals[1] == one.base for one in ran):
        text = "that is where your module begins, and not a return address."
    else:
        text = "it is not an address in your module's code. Which field of which call did you read?"
    return Check(False, f"leak: The second signal is {first.signals[1]:#x}: {text}")


def _steal(mine: Numbers, ran: Sequence[_Ran]) -> Check:
    if any(len(one.signals) < 3 for one in ran):
        return Check(False, f"steal: There is no third signal{_trap(ran)}.")
    if all(one.signals[2] == _word(one.neighbour, mine.secret) for one in ran):
        return RIGHT
    near = [
        at for at in range(-64, 65, 4) if all(one.signals[2] == _word(one.neighbour, mine.secret + at) for one in ran)
    ]
    if near:
        return Check(False, f"steal: That is the word {abs(near[0])} bytes {'after' if near[0] > 0 else 'before'} it.")
    if all(one.signals[2] == ran[0].signals[2] for one in ran):
        return Check(False, "steal: The third signal is the same for any secret.")
    return Check(False, "steal: The third signal is not the word at that address.")


def _word(neighbour: bytes, address: int) -> int:
    at = address - _STAGING
    return int.from_bytes(neighbour[at : at + 4], "little")


def _trap(ran: Sequence[_Ran]) -> str:
    """Say how the guest ended, if it did not return."""
    details = [one.result.detail for one in ran if one.result.detail.startswith(_TRAPS)]
    return f": the guest ended by {one_line(details[0])[:100]}" if details else ""


def _mend(mine: Numbers, files: Mapping[str, bytes]) -> tuple[list[Check], tuple[str, ...]]:
    kernel, problem = handed_in_kernel(files)
    if kernel is None:
        return [Check(False, f"mend: {problem}")], ()
    number = int.from_bytes(sha256(files[IMAGE]).digest(), "big")
    try:
        with piece(_MEND_SECONDS):
            if problem := next(_limits(kernel, mine.limit), ""):
                return [Check(False, problem)], ()
            open_still = next(_open(kernel, number, _module(files)[0]), "")
            if open_still:
                return [Check(False, open_still)], ()
            problem, digests = _service(kernel, number)
    except NoResult as error:
        return [Check(False, f"mend: {error}")], ()
    return [Check(False, problem) if problem else RIGHT], digests


def _limits(kernel: Firmware, limit: int) -> Iterator[str]:
    refused = run_alone(signed(modules.with_globals(limit + 1)), kernel)
    if "too many globals" not in refused.detail:
        yield f"mend: It accepts a module with {limit + 1} globals: this is not a kernel of your vmm.h."
    if run_alone(signed(modules.with_globals(limit)), kernel).outcome != "COMPLETED":
        yield f"mend: It refuses a module with {limit} globals, which your vmm.h permits."


def _open(kernel: Firmware, number: int, exploit: bytes) -> Iterator[str]:
    """Yield what the mended validator still accepts: of the judge's modules, and the student's own exploit."""
    own = [exploit] if exploit and hole.REASON in run_alone(exploit, built_in()).detail else []
    for module in (*map(signed, modules.refused(number)), *own):
        result = run_alone(module, kernel)
        if result.outcome != "PAYLOAD_REJECTED":
            yield "mend: It still accepts a module that uses a local which its function does not have."
        elif hole.REASON not in result.detail:
            yield f"mend: It refuses such a module for another reason ({one_line(result.detail)[:200]})."
    for module in map(signed, modules.twins(number)):
        if (result := run_alone(module, kernel)).outcome != "COMPLETED":
            yield f"mend: It refuses a module that uses only locals which its function has ({_ended(result)})."


def _service(kernel: Firmware, number: int) -> tuple[str, tuple[str, ...]]:
    """Return what the mended kernel refuses or serves wrongly, and the digests of the runs of built-in payloads."""
    module, signals = modules.accepted(number)
    good = run_alone(signed(module), kernel)
    if good.outcome != "COMPLETED" or list(good.signals) != signals:
        return f"mend: It does not serve a module that uses only locals which its function has ({_ended(good)}).", ()
    digests = []
    for name in _BUILT_IN:
        enclave = Enclave(name, engine=EngineName.RESIDENT, attestation=Attestation.OFF, firmware=kernel, record=False)
        model = Enclave(name, engine=EngineName.RESIDENT, attestation=Attestation.OFF, record=False).run(_LIMIT_NS)
        result = enclave.run(_LIMIT_NS)
        digests.append(result.digest)
        if (result.outcome, result.signals, result.residue_bytes) != (model.outcome, model.signals, 0):
            return f"mend: It does not serve {name} as the built-in kernel does ({_ended(result)}).", tuple(digests)
    return "", tuple(digests)


def _ended(result: RunResult) -> str:
    return one_line(f"{result.outcome}{': ' if result.detail else ''}{result.detail}")[:200]
