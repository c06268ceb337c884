"""A search, from an empty corpus, for a program that counting by block makes different."""

from tests.machine.fuzz import lane
from tests.machine.fuzz.campaign import case_of
from tests.machine.fuzz.lane import Death, Desk, Send
from tests.machine.fuzz.oracle import BY_BLOCK, STOPS_BY_BLOCK, Oracle
from tests.machine.fuzz.properties import PATIENCE_S, Found
from tests.machine.fuzz.trial import death_rule

RULES = (BY_BLOCK, STOPS_BY_BLOCK)


def search(seed: int, examples: int) -> Found | None:
    """Search among the first cases of a campaign with this seed."""

    def work(desk: Desk, send: Send) -> None:
        oracle = Oracle(RULES)
        for index in range(examples):
            case = case_of(seed, index, [])
            text = case.text()
            desk.begin(text)
            for finding in oracle.judge(case)[1]:
                if finding.rule in RULES:
                    send(Found(finding.rule, finding.what, index + 1, text))
                    return

    for message in lane.run(work, PATIENCE_S):
        if isinstance(message, Death):
            return Found(death_rule(message), "it does not", message.number, message.text)
        if isinstance(message, Found):
            return message
    return None
