"""Input at a limit is accepted, one beyond is refused, and foreign text is truncated in messages."""

from collections.abc import Callable
from dataclasses import replace

import cbor2
import pytest

from enclave_sim.attestation import Challenge, EnvelopeKey, Evidence, EvidenceError, Position, ReferenceValues
from enclave_sim.attestation.errors import shown
from enclave_sim.attestation.formats.envelope import protected_header, public_of
from enclave_sim.attestation.formats.event_log import EventLog, PcrEvent, SpecIdEvent, parse_event_log
from enclave_sim.attestation.formats.plain_cbor import load
from enclave_sim.attestation.formats.public_area import EccPoint, PublicArea, parse_public
from enclave_sim.attestation.formats.quote import ClockInfo, PcrSelection, Quote, parse_quote
from enclave_sim.attestation.formats.signature import EcdsaSignature, parse_signature
from enclave_sim.errors import ConfigurationError
from tests.enclave_sim.attestation.nodes import CHALLENGE, ENVELOPE_KEY, EVENTS, HONEST, error_of, judge

QUOTE = Quote(bytes(34), b"", ClockInfo(0, 0, 0, safe=True), 0, (), bytes(32))
AREA = PublicArea(0, b"", EccPoint(b"x", b"y"))


def selections(count: int, size: int = 1) -> tuple[PcrSelection, ...]:
    return (PcrSelection(0x000B, bytes(size)),) * count


def events(pcr: int) -> bytes:
    return EventLog((PcrEvent.measured(pcr, 13, bytes(32), b""),)).encode()


def banks(count: int) -> bytes:
    return SpecIdEvent(tuple((number, 1) for number in range(0x100, 0x100 + count))).encode()


@pytest.mark.parametrize(
    ("parse", "whole", "within", "beyond"),
    [
        (parse_quote, lambda n: QUOTE._replace(qualified_signer=bytes(n)).encode(), [34], [33, 35]),
        (parse_quote, lambda n: QUOTE._replace(extra_data=bytes(n)).encode(), [0, 1, 66], [67]),
        (parse_quote, lambda n: QUOTE._replace(selections=selections(n)).encode(), [0, 1, 16], [17]),
        (parse_quote, lambda n: QUOTE._replace(selections=selections(1, n)).encode(), [1, 4], [0, 5]),
        (parse_quote, lambda n: QUOTE._replace(pcr_digest=bytes(n)).encode(), [32], [31, 33]),
        (parse_public, lambda n: AREA._replace(policy=bytes(n)).encode(), [0, 64], [65]),
        (parse_public, lambda n: AREA._replace(key=EccPoint(b"1" * n, b"1")).encode(), [1, 32], [0, 33]),
        (parse_public, lambda n: AREA._replace(key=EccPoint(b"1", b"1" * n)).encode(), [1, 32], [0, 33]),
        (parse_public, lambda n: AREA._replace(key=bytes(n)).encode(), [1952], [1951, 1953]),
        (parse_signature, lambda n: EcdsaSignature(b"1" * n, b"1").encode(), [1, 32], [0, 33]),
        (parse_signature, lambda n: EcdsaSignature(b"1", b"1" * n).encode(), [1, 32], [0, 33]),
        (parse_event_log, events, [0, 23], [24]),
        (parse_event_log, banks, [1, 16], [0, 17]),
        (lambda data: load(data, "x"), lambda n: cbor2.dumps([0] * (n - 1)), [1, 64], [65, 66]),
        (EnvelopeKey.from_seed, bytes, [16, 17], [0, 15]),
        (lambda key: public_of(protected_header(key)), bytes, [33], [32, 34]),
    ],
)
def test_a_size_is_within_its_limits(
    parse: Callable[[bytes], object], whole: Callable[[int], bytes], within: list[int], beyond: list[int]
) -> None:
    for size in within:
        assert error_of(parse, whole(size)) == "", size
    for size in beyond:
        assert error_of(parse, whole(size)), size


@pytest.mark.parametrize("cycle", [0, 2**32 - 1])
def test_a_cycle_has_32_bits(cycle: int) -> None:
    assert Challenge(bytes(32), cycle).cycle == cycle
    file = replace(HONEST.evidence(), cycle=cycle).encode(None)
    assert Evidence.decode(file).cycle == cycle


@pytest.mark.parametrize("size", [31, 33])
def test_a_nonce_has_32_bytes(size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"^a challenge's nonce has 32 bytes, not {size}$"):
        Challenge(bytes(size), 0)
    with pytest.raises(EvidenceError, match=f"the nonce has {size} bytes; expected 32"):
        replace(HONEST.evidence(), nonce=bytes(size)).encode(None)


@pytest.mark.parametrize(("count", "right"), [(1, True), (4, True), (5, False)])
def test_there_are_one_to_four_quotes(count: int, right: bool) -> None:
    quotes = (HONEST.evidence().quotes[0],) * count
    evidence = replace(HONEST.evidence(), quotes=quotes)
    numbers = {check.name: check for check in judge(evidence).checks}
    check = numbers["number of quotes"]
    assert (check.passed, check.message) == (right, f"{count}" if right else f"is {count}; expected 1 to 4")
    assert len([name for name in numbers if name.endswith(" magic")]) == min(count, 4)
    assert (error_of(evidence.encode, None) == "") == right


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 80, repr("x" * 80)),
        ("x" * 81, repr("x" * 80)),
        ("\n\u00fc", r"'\n\xfc'"),
        ((1 << 64) - 1, "18446744073709551615"),
        (1 - (1 << 64), "-18446744073709551615"),
        (1 << 64, "of type int"),
        (-(1 << 64), "of type int"),
        (None, "missing"),
        (b"", "of type bytes"),
        (1.5, "of type float"),
    ],
)
def test_a_foreign_value_is_shown_where_that_is_short(value: object, text: str) -> None:
    assert shown(value) == text


def test_foreign_text_is_cut_where_it_is_repeated() -> None:
    entry = "x" * 100
    with pytest.raises(ConfigurationError) as caught:
        ReferenceValues(frozenset({entry}))
    assert str(caught.value) == f"reference values: {'x' * 80!r} in firmware must be 64 hex digits, lower case"
    unknown = b'{"format": "enclave-sim-reference-values", "version": 1, "%s": []}' % entry.encode()
    with pytest.raises(ConfigurationError) as caught:
        ReferenceValues.from_json(unknown)
    assert str(caught.value).startswith(f"reference values: {'x' * 40!r} is not one of firmware, ")
    file = b"\xd8\x3d\xd2" + cbor2.dumps([b"\1" * 40, {}, b"", b""])
    assert f"the protected header is {'01' * 16}...; expected" in error_of(Evidence.decode, file)
    assert "it begins with 01020304; expected" in error_of(Evidence.decode, bytes(range(1, 40)))
    long = replace(HONEST, events=(PcrEvent.measured(9, 13, bytes(32), entry.encode()), *EVENTS[1:])).evidence()
    order = next(check.message for check in judge(long).checks if check.name == "event order")
    assert order == f"event 0 is PCR 9, type 13, '{'x' * 40}'; expected PCR 9, type 13, 'kernel image'"


@pytest.mark.parametrize(
    ("first", "second", "later"),
    [
        ((1, 1, 5, 1), (1, 1, 5, 0), True),
        ((1, 1, 5, 1), (1, 1, 5, 1), False),
        ((1, 1, 5, 1), (1, 1, 6, 0), False),
        ((1, 1, 6, 1), (1, 1, 5, 0), True),
        ((1, 2, 5, 0), (1, 1, 5, 9), True),
        ((1, 2, 4, 0), (1, 1, 5, 9), False),
        ((2, 0, 0, 0), (1, 9, 9, 9), True),
        ((1, 9, 9, 9), (2, 0, 0, 0), False),
        ((1, 1, 5, 1), (1, 2, 5, 0), False),
    ],
)
def test_a_position_is_later_by_boot_then_by_cycle_and_never_by_an_earlier_clock(
    first: tuple[int, int, int, int], second: tuple[int, int, int, int], later: bool
) -> None:
    assert Position(*first).is_later_than(Position(*second)) == later
    assert str(Position(*first)) == ":".join(map(str, first))


def test_the_bits_of_a_selection_are_pcrs_0_to_23() -> None:
    for pcr in range(24):
        selection = PcrSelection.of((pcr,))
        assert selection.pcrs == (pcr,)
        assert (len(selection.bitmap), selection.hash_algorithm) == (3, 0x000B)
    assert PcrSelection.of((5, 5, 1), 0x0004) == PcrSelection(0x0004, b"\x22\0\0")


@pytest.mark.parametrize("index", range(len(EVENTS) + 1))
def test_a_log_that_ends_early_or_late_says_which_event_is_missing_or_extra(index: int) -> None:
    cut = replace(HONEST, events=EVENTS[:index]).evidence()
    message = next(check.message for check in judge(cut).checks if check.name == "event order")
    if index == len(EVENTS):
        assert message == "every event is where it must be"
    else:
        assert "expected PCR" in message
        assert message.startswith("event ")


def test_a_key_from_a_seed_is_always_the_same() -> None:
    assert ENVELOPE_KEY.public.hex() == EnvelopeKey.from_seed(b"a node's envelope key").public.hex()
    assert EnvelopeKey.from_seed(bytes(16)).secret != EnvelopeKey.from_seed(bytes(17)).secret
    key = EnvelopeKey.from_seed(bytes(16))
    assert key.secret == 0x891F3A95B76A5001FE8DD6F3E5A792CCE3E165278C1EEB55242BA78A883358F8
    assert key.public.hex() == "0246384ef148f105b4f234e8986b3d36fb4ea1ea2cd120c330014f011292460bc5"
    assert CHALLENGE.after == ()
