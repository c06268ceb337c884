"""Logs that differ from the TPM's measurements, and measurements that no honest node makes."""

from dataclasses import replace

import pytest

from enclave_sim.attestation.formats.event_log import EV_IPL, EV_NO_ACTION, EventLog, PcrEvent
from tests.enclave_sim.attestation.nodes import (
    CAP,
    COMMAND_LINE,
    ECDSA_NODE,
    EVENTS,
    Node,
    action,
    digest,
    judge,
    payload,
    refused,
)

NEED_THE_ORDER = (
    *("kernel image", "loader information", "configuration data", "configuration"),
    *("trust anchors", "payloads", "active data"),
)


def test_a_log_cut_short_anywhere_is_refused() -> None:
    evidence = ECDSA_NODE.evidence()
    for length in range(len(evidence.event_log)):
        assert not judge(replace(evidence, event_log=evidence.event_log[:length])).accepted


def shown(*events: PcrEvent) -> Node:
    """A node that measured honestly and presents another log."""
    return replace(ECDSA_NODE, log=events)


def test_a_log_edited_in_a_digest_is_refused() -> None:
    for index in range(len(EVENTS)):
        edited = EVENTS[index]._replace(digests=((0x000B, digest("other")),))
        assert "quote 1 PCR digest" in refused(judge(shown(*EVENTS[:index], edited, *EVENTS[index + 1 :]).evidence()))


def test_a_log_edited_in_its_data_is_refused() -> None:
    for index in range(len(EVENTS)):
        edited = EVENTS[index]._replace(data=EVENTS[index].data + b"\0")
        names = refused(judge(shown(*EVENTS[:index], edited, *EVENTS[index + 1 :]).evidence()))
        assert names[0] == ("configuration data" if EVENTS[index].pcr == 10 else "event order")


def test_another_command_line_with_the_allowed_digest_is_refused() -> None:
    edited = PcrEvent.measured(10, EV_IPL, EVENTS[2].digest, COMMAND_LINE + b" debug")
    assert refused(judge(Node(events=(*EVENTS[:2], edited, *EVENTS[3:])).evidence())) == ["configuration data"]


def test_an_action_with_another_digest_than_that_of_its_data_is_refused() -> None:
    edited = EVENTS[-1]._replace(digests=CAP.digests)
    assert refused(judge(Node(events=(*EVENTS[:-1], edited)).evidence())) == ["active data"]


@pytest.mark.parametrize("first", range(len(EVENTS) - 1))
def test_events_in_another_order_are_refused_even_if_they_were_measured_so(first: int) -> None:
    events = (*EVENTS[:first], EVENTS[first + 1], EVENTS[first], *EVENTS[first + 2 :])
    assert refused(judge(replace(ECDSA_NODE, events=events).evidence()))[0] == "event order"
    assert not judge(shown(*events).evidence()).accepted


@pytest.mark.parametrize("index", range(len(EVENTS)))
def test_an_event_left_out_is_refused(index: int) -> None:
    events = (*EVENTS[:index], *EVENTS[index + 1 :])
    fewer_payloads = index == 5  # a node of one payload is as honest as one of two
    assert judge(replace(ECDSA_NODE, events=events).evidence()).accepted == fewer_payloads
    assert "quote 1 PCR digest" in refused(judge(shown(*events).evidence()))


@pytest.mark.parametrize("index", range(len(EVENTS)))
def test_an_event_repeated_is_refused(index: int) -> None:
    events = (*EVENTS[: index + 1], *EVENTS[index:])
    assert refused(judge(replace(ECDSA_NODE, events=events).evidence()))[0] == "event order"
    assert not judge(shown(*events).evidence()).accepted


@pytest.mark.parametrize(
    "added",
    [
        payload(2, "other"),
        PcrEvent.measured(4, EV_IPL, digest("x"), b"x"),
        PcrEvent.measured(10, EV_NO_ACTION, bytes(32), b"StartupLocality\0\3"),
        action(b"AETHER ACTIVE"),
        action(b""),
    ],
)
@pytest.mark.parametrize("index", range(len(EVENTS) + 1))
def test_an_event_added_is_refused(index: int, added: PcrEvent) -> None:
    events = (*EVENTS[:index], added, *EVENTS[index:])
    assert not judge(replace(ECDSA_NODE, events=events).evidence()).accepted
    assert not judge(shown(*events).evidence()).accepted


def test_an_annihilated_enclave_is_refused() -> None:
    names = refused(judge(replace(ECDSA_NODE, events=(*EVENTS, CAP)).evidence()))
    assert names == ["not annihilated", "event order", *NEED_THE_ORDER]


def test_an_annihilated_enclave_that_hides_the_cap_is_refused() -> None:
    assert refused(judge(replace(ECDSA_NODE, events=(*EVENTS, CAP), log=EVENTS).evidence())) == ["quote 1 PCR digest"]


def test_pcrs_reset_after_the_boot_are_refused() -> None:
    assert refused(judge(replace(ECDSA_NODE, events=(), log=EVENTS).evidence())) == ["quote 1 PCR digest"]


def test_a_log_with_an_unquoted_bank_is_refused() -> None:
    """Nothing vouches for the digests of a bank that is not quoted."""
    log = EventLog(EVENTS)
    header = log.header._replace(algorithms=((0x0004, 20), (0x000B, 32)))
    events = tuple(event._replace(digests=((0x0004, bytes(20)), *event.digests)) for event in EVENTS)
    evidence = replace(ECDSA_NODE.evidence(), event_log=EventLog(events, header).encode())
    assert refused(judge(evidence)) == ["event log header"]
