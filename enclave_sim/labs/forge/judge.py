"""The judge of lab `forge`: it verifies each file as a verifier does, against the honest enclave of the student."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from enclave_sim.attestation.errors import EvidenceError
from enclave_sim.attestation.evidence import Evidence
from enclave_sim.attestation.reference_values import ReferenceValues
from enclave_sim.attestation.verdict import Challenge, Verdict
from enclave_sim.attestation.verification import verify
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.labs.answers import Answers
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import RIGHT, Check
from enclave_sim.labs.forge.forgeries import FORGERIES, Forgery
from enclave_sim.labs.lab import ANSWERS, Judged

_PAYLOAD, _CYCLES = "beacon", 2


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    return {
        "nonce": case.bytes("nonce").hex(),
        "old": case.bytes("old nonce").hex(),
        "options": f"{_PAYLOAD} --cycles {_CYCLES} --wake-ns {_wake_ns(case)}",
    }


def inspected(case: Case, _directory: Path) -> list[str]:
    """Return the honest enclave's run."""
    return values(case)["options"].split()


def start(case: Case) -> dict[str, bytes]:
    """Return the starting point: the verifier's reference values, and empty answers."""
    answers = "# The names of all checks that each forgery fails.\n"
    answers += "".join(f"\n[{one.name}]\nfailed = []\n" for one in FORGERIES)
    return {ANSWERS: answers.encode(), "reference.json": _reference(case).to_json()}


def _wake_ns(case: Case) -> int:
    return case.number("wake", 100_000, 999_999)


def _reference(case: Case) -> ReferenceValues:
    return Enclave(_PAYLOAD, cycles=_CYCLES, wake_ns=_wake_ns(case)).reference_values()


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge the forgeries."""
    answers = Answers(files)
    if problem := answers.unreadable(one.name for one in FORGERIES):
        return Judged(problem)
    reference = _reference(case)
    return Judged({one.name: tuple(_checks(one, case, files, reference, answers)) for one in FORGERIES})


def _checks(
    forgery: Forgery, case: Case, files: Mapping[str, bytes], reference: ReferenceValues, answers: Answers
) -> Iterator[Check]:
    name = forgery.name
    if forgery.file not in files:
        yield Check(False, f"{name}: {forgery.file} is missing.")
        return
    try:
        evidence = Evidence.decode(files[forgery.file])
    except EvidenceError:
        yield Check(False, f"{name}: {forgery.file} is not an evidence file any verifier would read.")
        return
    verdict = _verdict(forgery, evidence, case, reference)
    failed = frozenset(one.name for one in verdict.failures)
    if problem := _problem(forgery, evidence, failed, case):
        yield Check(False, f"{name}: {problem}")
        return
    yield RIGHT
    given = answers.get(name, "failed")
    if given is None:
        yield Check(False, f"{name}.failed: not answered yet.")
    elif not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        yield Check(False, f"{name}.failed: expected a list of names of checks.")
    elif frozenset(given) == failed:
        yield RIGHT
    elif frozenset(given) < failed:
        yield Check(False, f"{name}.failed: More checks fail than these. What else depends on what you changed?")
    elif frozenset(given) > failed:
        yield Check(False, f"{name}.failed: Some of these pass: what they compare was not changed.")
    else:
        yield Check(False, f"{name}.failed: These are not the checks that fail.")


def _verdict(forgery: Forgery, evidence: Evidence, case: Case, reference: ReferenceValues) -> Verdict:
    challenge = Challenge(case.bytes("nonce"), 0)
    verdict = verify(evidence, challenge, reference)
    if forgery.name == "repeated" and verdict.accepted and verdict.position is not None:
        return verify(evidence, Challenge(challenge.nonce, 0, (verdict.position,)), reference)
    return verdict


def _problem(forgery: Forgery, evidence: Evidence, failed: frozenset[str], case: Case) -> str:
    """Return the reason why evidence is not the forgery; empty if it is."""
    if forgery.name == "stale":
        if evidence.nonce == case.bytes("nonce"):
            return "It answers the new challenge. Which one was answered before?"
        if evidence.nonce != case.bytes("old nonce"):
            return "It answers a challenge that is not yours."
    elif evidence.nonce != case.bytes("nonce"):
        return "It does not answer the verifier's challenge, so the nonce gives it away first."
    if forgery.fits(failed):
        return ""
    if not failed:
        return "The verifier accepts it: it is no forgery yet."
    if forgery.target in failed:
        return f"More than intended gives it away: {', '.join(sorted(failed - {forgery.target}))[:200]}."
    return f"It fails another check than {forgery.target!r}: {', '.join(sorted(failed))[:200]}."
