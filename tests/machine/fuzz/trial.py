"""One case in its own child process, which may die of it."""

from tests.machine.fuzz import lane
from tests.machine.fuzz.case import Case
from tests.machine.fuzz.lane import Death, Desk, Send
from tests.machine.fuzz.oracle import Oracle


def rules_broken(case: Case, oracle: Oracle, patience_s: float) -> dict[str, str]:
    """The rules broken by a case, run in a child, with details; its death by its cause."""

    def work(desk: Desk, send: Send) -> None:
        desk.begin(case.text())
        for finding in oracle.judge(case)[1]:
            send((finding.rule, finding.what))

    found: dict[str, str] = {}
    for message in lane.run(work, patience_s):
        if isinstance(message, Death):
            found[death_rule(message)] = "it does not"
        else:
            found.setdefault(*message)
    return found


def death_rule(death: Death) -> str:
    """The rule that a death breaks. Those of other causes break other ones."""
    return f"the host process lives ({death.cause})"
