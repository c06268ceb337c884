"""`verify`: from evidence to a verdict.

The checks always come in the same order, with three variations: 'envelope' is left out if the evidence was not in a
signed file and none is required; each quote has its own set; 'quotes agree' is left out if there is one quote. A check
prevented by an earlier failure has failed.
"""

from enclave_sim.attestation.checks.checklist import Checklist, Value
from enclave_sim.attestation.checks.log_checks import check_log
from enclave_sim.attestation.checks.quote_checks import QuoteChecks
from enclave_sim.attestation.errors import EvidenceError, shown
from enclave_sim.attestation.evidence import MAX_QUOTES, Evidence, check_file
from enclave_sim.attestation.formats.public_area import PublicArea
from enclave_sim.attestation.formats.quote import Quote
from enclave_sim.attestation.reference_values import ReferenceValues
from enclave_sim.attestation.verdict import Challenge, Policy, Position, Verdict

_DEFAULT_POLICY = Policy()


def verify(
    evidence: Evidence, challenge: Challenge, reference: ReferenceValues, policy: Policy = _DEFAULT_POLICY
) -> Verdict:
    """Judge evidence. Malformed evidence raises no exception: it is a failed check.

    Args:
        evidence: The evidence.
        challenge: The challenge that it must answer.
        reference: The accepted values.
        policy: Further requirements; by default an ECDSA signature on P-256.

    Returns:
        Every check, including those that could not be made.
    """
    checklist = Checklist()
    asked = policy.envelope or bool(reference.envelope_keys)
    if evidence.file or asked:
        checklist.check("envelope", evidence, "", lambda evidence: _envelope(evidence, reference, asked))
    checklist.check("nonce", evidence.nonce, "", lambda nonce: _nonce(nonce, challenge))
    checklist.check("cycle", evidence.cycle, "", lambda cycle: _cycle(cycle, challenge))
    log = check_log(checklist, evidence.event_log, reference)
    checklist.check("number of quotes", len(evidence.quotes), "", _number)
    checks = QuoteChecks(challenge, reference, policy, log)
    checked = [checks.check(checklist, number, signed) for number, signed in enumerate(evidence.quotes[:MAX_QUOTES], 1)]
    areas, needs = _all([one.area for one in checked], "AK")
    checklist.check("signature algorithms", areas, needs, lambda areas: _algorithms(areas, policy))
    quotes, needs = _all([one.quote for one in checked], "attest")
    if len(checked) > 1:
        checklist.check("quotes agree", quotes, needs, _agree)
    first = checked[0].quote if checked else None
    needs = "quote 1 attest" if checked else "number of quotes"
    position = None if first is None else _position(first, challenge.cycle)
    checklist.check("freshness", position, needs, lambda position: _fresh(position, challenge))
    return Verdict(tuple(checklist.checks), position, evidence.cycle)


def _all(values: list[Value | None], what: str) -> tuple[list[Value] | None, str]:
    """Return the values if every quote has one; else None and the name of the failed check."""
    found = []
    for number, value in enumerate(values, 1):
        if value is None:
            return None, f"quote {number} {what}"
        found.append(value)
    return found, ""


def _envelope(evidence: Evidence, reference: ReferenceValues, asked: bool) -> str:
    if not evidence.file:
        raise EvidenceError("the evidence did not come in a file; expected a file signed by a known envelope key")
    public = check_file(evidence)
    if public is None:
        if asked:
            raise EvidenceError("the file is not signed; expected one signed by a known envelope key")
        return "none, and none is asked for"
    if asked and public.hex() not in reference.envelope_keys:
        raise EvidenceError(f"{public.hex()} is not one of the {len(reference.envelope_keys)} known envelope keys")
    return f"signed by {public.hex()}, which {'is known' if asked else 'nobody vouches for'}"


def _nonce(nonce: bytes, challenge: Challenge) -> str:
    if nonce != challenge.nonce:
        raise EvidenceError(f"is {nonce.hex() or 'nothing'}; expected the challenge's {challenge.nonce.hex()}")
    return "the challenge's"


def _cycle(cycle: int, challenge: Challenge) -> str:
    if cycle != challenge.cycle:
        raise EvidenceError(f"is {shown(cycle)}; expected the challenge's {challenge.cycle}")
    return "the challenge's"


def _number(count: int) -> str:
    if not 1 <= count <= MAX_QUOTES:
        raise EvidenceError(f"is {count}; expected 1 to {MAX_QUOTES}")
    return f"{count}"


def _algorithms(areas: list[PublicArea], policy: Policy) -> str:
    found = sorted(area.algorithm for area in areas)
    if len(set(found)) != len(found):
        raise EvidenceError(f"are {', '.join(found)}; expected one quote for each algorithm")
    missing = sorted(policy.signatures - set(found))
    if missing:
        required = ", ".join(sorted(policy.signatures))
        raise EvidenceError(f"{', '.join(missing)} is missing; the policy requires {required}, and nothing replaces it")
    return ", ".join(found)


def _agree(quotes: list[Quote]) -> str:
    first = quotes[0]
    for number, quote in enumerate(quotes[1:], 2):
        for what, ours, theirs in (
            ("PCR selection", first.selections, quote.selections),
            ("PCR digest", first.pcr_digest, quote.pcr_digest),
            ("reset count", first.clock_info.reset_count, quote.clock_info.reset_count),
            ("restart count", first.clock_info.restart_count, quote.clock_info.restart_count),
            ("firmware version", first.firmware_version, quote.firmware_version),
        ):
            if ours != theirs:
                raise EvidenceError(f"quote {number} has another {what} than quote 1; both must come from one boot")
    return "all come from one boot and one state"


def _position(quote: Quote, cycle: int) -> Position:
    clock = quote.clock_info
    return Position(clock.reset_count, clock.restart_count, clock.clock, cycle)


def _fresh(position: Position, challenge: Challenge) -> str:
    found = _described(position)
    for last in challenge.after:
        if not position.is_later_than(last):
            raise EvidenceError(f"{found} is not later than {_described(last)}, accepted for this AK before")
    if not challenge.after:
        return f"{found}; nothing was accepted for this AK before"
    return f"{found} is later than what was accepted for this AK before"


def _described(position: Position) -> str:
    return (
        f"reset count {position.reset_count}, restart count {position.restart_count}, clock {position.clock} ms,"
        f" cycle {position.cycle}"
    )
