"""The TCG event log: written, read again, replayed."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.attestation import EvidenceError
from enclave_sim.attestation.formats.event_log import (
    EV_NO_ACTION,
    EventLog,
    PcrEvent,
    SpecIdEvent,
    initial_pcr,
    parse_event_log,
)
from tests.enclave_sim.attestation.nodes import EVENTS, error_of

BANKS = st.dictionaries(st.integers(0, 0xFFFF).filter(lambda a: a != 0x000B), st.integers(0, 64), max_size=3)
U32 = st.integers(0, 2**32 - 1)
LOG = EventLog(EVENTS)


@st.composite
def logs(draw: st.DrawFn) -> EventLog:
    banks = {**draw(BANKS), 0x000B: 32}
    bytes_ = st.integers(0, 255)
    version = draw(st.tuples(bytes_, bytes_, bytes_))
    header = SpecIdEvent(tuple(banks.items()), draw(U32), version, draw(bytes_), draw(st.binary(max_size=255)))
    digests = st.tuples(*(st.tuples(st.just(a), st.binary(min_size=n, max_size=n)) for a, n in banks.items()))
    events = st.builds(PcrEvent, st.integers(0, 23), U32, digests, st.binary(max_size=40))
    return EventLog(tuple(draw(st.lists(events, max_size=5))), header)


@given(logs())
def test_a_log_that_is_written_is_read_again(log: EventLog) -> None:
    assert parse_event_log(log.encode()) == log


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_a_log_or_an_evidence_error(data: bytes) -> None:
    for whole in (data, SpecIdEvent().encode() + data):
        assert "\n" not in error_of(lambda whole: parse_event_log(whole).replay(), whole)


@given(st.integers(0, 500), st.binary(min_size=1, max_size=6))
def test_an_edited_log_is_a_log_or_an_evidence_error(start: int, new: bytes) -> None:
    whole = LOG.encode()
    edited = whole[:start] + new + whole[start + len(new) :]
    assert "\n" not in error_of(lambda: parse_event_log(edited).replay())


def test_replaying_extends_each_pcr_from_its_value_after_a_reset() -> None:
    one, two = sha256(b"1").digest(), sha256(b"2").digest()
    events = (
        PcrEvent.measured(8, 13, one, b""),
        PcrEvent.measured(17, 13, one, b""),
        PcrEvent.measured(8, EV_NO_ACTION, one, b"not extended"),
        PcrEvent.measured(8, 13, two, b""),
    )
    first = sha256(bytes(32) + one).digest()
    values = EventLog(events).replay()
    assert values == {8: sha256(first + two).digest(), 17: sha256(b"\xff" * 32 + one).digest()}
    assert EventLog(events).pcr_values((8, 9)) == values[8] + bytes(32)


def test_the_pcrs_of_a_dynamic_launch_start_as_ones() -> None:
    assert [pcr for pcr in range(24) if initial_pcr(pcr) != bytes(32)] == [17, 18, 19, 20, 21, 22]


def test_a_log_without_the_sha256_bank_cannot_be_replayed() -> None:
    log = EventLog((PcrEvent(8, 13, ((0x0004, bytes(20)),), b""),), SpecIdEvent(algorithms=((0x0004, 20),)))
    assert parse_event_log(log.encode()) == log
    with pytest.raises(EvidenceError, match="no SHA-256 digests"):
        log.replay()


def test_digest_sizes_come_from_the_header() -> None:
    header = SpecIdEvent(algorithms=((0x000B, 32), (0x7777, 5)))
    event = PcrEvent(8, 13, ((0x000B, bytes(32)), (0x7777, b"12345")), b"x")
    assert parse_event_log(EventLog((event,), header).encode()).events == (event,)


def put(offset: int, text: str) -> bytes:
    whole, new = LOG.encode(), bytes.fromhex(text)
    return whole[:offset] + new + whole[offset + len(new) :]


def test_our_header_is_of_version_2_00_for_clients() -> None:
    """TCG_EfiSpecIdEvent (PC Client Platform Firmware Profile, Spec ID Event): class, minor, major, errata, UINTN."""
    assert SpecIdEvent().encode()[48:].startswith(b"\0\0\0\0" + b"\0\2\0\2" + b"\1\0\0\0" + b"\x0b\0\x20\0")


FIRST = len(SpecIdEvent().encode())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "event log: header pcrIndex at offset 0 is cut short: 0 bytes are left; it takes 4"),
        (put(0, "01000000"), "header pcrIndex at offset 0 is 0x00000001; expected 0x00000000 (PCR 0)"),
        (put(4, "0d000000"), "header eventType at offset 4 is 0x0000000d; expected 0x00000003 (EV_NO_ACTION)"),
        (put(8, "01"), "header digest at offset 8 is not zero"),
        (put(28, "26"), "header eventSize at offset 28 is 38; the header's data take 33 bytes"),
        (put(32, "73"), "header signature at offset 32 is wrong; expected 'Spec ID Event03' and a NUL"),
        (put(56, "00"), "header numberOfAlgorithms at offset 56 is 0; expected 1 to 16"),
        (put(62, "14"), "header digestSize 0 at offset 62 is 20; SHA-256 has 32 bytes"),
        (put(FIRST, "18"), f"event 0 pcrIndex at offset {FIRST} is 24; expected 0 to 23"),
        (put(FIRST + 8, "02"), f"event 0 digests.count at offset {FIRST + 8} is 0x00000002; expected 0x00000001"),
        (put(FIRST + 12, "04"), f"event 0 digest algorithm at offset {FIRST + 12} is 0x0004; expected each algorithm"),
        (put(FIRST + 46, "ffffffff"), f"event 0 event at offset {FIRST + 50} is cut short"),
        (LOG.encode()[:-1], "event 6 event at offset"),
        (LOG.encode() + b"\0", "event 7 pcrIndex at offset"),
    ],
)
def test_an_error_names_the_field_its_offset_and_what_is_right(data: bytes, message: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        parse_event_log(data)
    assert message in str(caught.value)


def test_a_bank_comes_once() -> None:
    header = SpecIdEvent(algorithms=((0x000B, 32), (0x000B, 32)))
    with pytest.raises(EvidenceError, match="header algorithm 1 at offset 64 is there already"):
        parse_event_log(header.encode())


def locality(data: bytes, pcr: int = 0) -> PcrEvent:
    return PcrEvent.measured(pcr, EV_NO_ACTION, bytes(32), b"StartupLocality\0" + data)


@pytest.mark.parametrize("number", [0, 3, 4])
def test_the_startup_locality_is_where_pcr_0_starts(number: int) -> None:
    started = bytes(31) + bytes([number])
    extended = PcrEvent.measured(0, 8, bytes(range(32)), b"")
    log = parse_event_log(EventLog((locality(bytes([number])), extended)).encode())
    assert log.replay() == {0: sha256(started + bytes(range(32))).digest()}
    assert EventLog((locality(bytes([number])),)).pcr_values((0, 1)) == started + bytes(32)


def test_the_startup_locality_is_of_pcr_0_alone() -> None:
    assert EventLog((locality(b"\3", pcr=1),)).pcr_values((0, 1)) == bytes(64)


@pytest.mark.parametrize(
    ("data", "words"), [(b"", "is missing"), (b"\1", "is 01; expected 00, 03 or 04"), (b"\3\0", "is 0300")]
)
def test_a_startup_locality_that_cannot_be_is_refused(data: bytes, words: str) -> None:
    assert words in error_of(EventLog((locality(data),)).replay)


def test_a_startup_locality_comes_before_what_extends_pcr_0() -> None:
    log = EventLog((PcrEvent.measured(0, 8, bytes(32), b""), locality(b"\3")))
    assert "comes after an event of PCR 0" in error_of(log.replay)
