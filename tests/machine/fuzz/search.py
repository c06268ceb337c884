"""A search among the cases of a campaign, from an empty corpus, for one that breaks certain rules."""

from collections.abc import Collection

from tests.machine.fuzz import lane
from tests.machine.fuzz.campaign import case_of
from tests.machine.fuzz.lane import Death, Desk, Send
from tests.machine.fuzz.oracle import Oracle
from tests.machine.fuzz.properties import PATIENCE_S, Found
from tests.machine.fuzz.trial import death_rule


def search_cases(seed: int, examples: int, rules: Collection[str]) -> Found | None:
    """Search for a case that breaks one of these rules among the first ones of a campaign with this seed."""

    def work(desk: Desk, send: Send) -> None:
        oracle = Oracle(rules)
        for index in range(examples):
            case = case_of(seed, index, [])
            text = case.text()
            desk.begin(text)
            for finding in oracle.judge(case)[1]:
                if finding.rule in rules:
                    send(Found(finding.rule, finding.what, index + 1, text))
                    return

    for message in lane.run(work, PATIENCE_S):
        if isinstance(message, Death):
            return Found(death_rule(message), "it does not", message.number, message.text)
        if isinstance(message, Found):
            return message
    return None
