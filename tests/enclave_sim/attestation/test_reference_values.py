"""Reference values: a strict JSON file, and the union of several."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.attestation import ReferenceValues, verify
from enclave_sim.errors import ConfigurationError
from tests.enclave_sim.attestation.nodes import CHALLENGE, HONEST, REFERENCE, reference

DIGESTS = st.frozensets(st.binary(min_size=32, max_size=32).map(bytes.hex), max_size=3)
VALUES = st.builds(
    ReferenceValues,
    DIGESTS,
    DIGESTS,
    DIGESTS,
    DIGESTS,
    DIGESTS | st.just(frozenset({"none"})),
    DIGESTS.map(lambda names: frozenset("000b" + name for name in names)),
    DIGESTS.map(lambda keys: frozenset("02" + key for key in keys)),
)
FULL = reference(envelope=True)


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FULL.to_json())
    return loaded


@given(VALUES)
def test_values_that_are_written_are_read_again(values: ReferenceValues) -> None:
    assert ReferenceValues.from_json(values.to_json()) == values


def test_a_file_names_its_format_and_version_and_is_sorted() -> None:
    found = document()
    assert (found.pop("format"), found.pop("version")) == ("enclave-sim-reference-values", 1)
    assert list(found) == [item.name for item in fields(FULL)]
    assert all(entries == sorted(entries) for entries in found.values())
    assert FULL.to_json().endswith(b"}\n")


@given(VALUES, VALUES)
def test_a_merge_allows_what_either_allows(one: ReferenceValues, other: ReferenceValues) -> None:
    merged = one.merge(other)
    assert merged == other.merge(one)
    for item in fields(merged):
        assert getattr(merged, item.name) == getattr(one, item.name) | getattr(other, item.name)


def test_no_values_allow_nothing() -> None:
    assert not verify(HONEST.evidence(), CHALLENGE, ReferenceValues()).accepted
    assert verify(HONEST.evidence(), CHALLENGE, ReferenceValues().merge(REFERENCE)).accepted


def test_a_file_is_saved_and_loaded(tmp_path: Path) -> None:
    FULL.save(tmp_path / "values.json")
    assert ReferenceValues.load(tmp_path / "values.json") == FULL


def test_a_file_that_cannot_be_read_or_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*values\.json: No such file"):
        ReferenceValues.load(tmp_path / "values.json")
    (tmp_path / "evidence.eat").write_bytes(b"\x84")
    with pytest.raises(ConfigurationError, match=r"evidence\.eat is not a file of reference values: it is not UTF-8"):
        ReferenceValues.load(tmp_path / "evidence.eat")
    with pytest.raises(ConfigurationError, match=r"cannot write .*: there is no directory"):
        FULL.save(tmp_path / "nowhere" / "values.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format 'other' version 1; expected format 'enclave-sim-reference-values' version 1"),
        ({"version": 2}, "version 2; expected"),
        ({"version": "1"}, "expected format"),
        ({"payload": []}, "'payload' is not one of firmware, loader_information"),
        ({"p" * 50: []}, f"reference values: '{'p' * 40}' is not one of firmware"),
        ({"payloads": "x"}, "an entry is a text; it must be a list"),
        ({"payloads": [1]}, "is a whole number; it must be a text"),
        ({"payloads": ["ab"]}, "'ab' in payloads must be 64 hex digits, lower case"),
        ({"payloads": ["AB" * 32]}, "in payloads must be 64 hex digits, lower case"),
        ({"payloads": ["ab" * 32 + "\n"]}, "in payloads must be 64 hex digits, lower case"),
        ({"payloads": ["none"]}, "'none' in payloads must be"),
        ({"trust_anchors": ["some"]}, "'some' in trust_anchors must be 64 hex digits or 'none'"),
        ({"ak_names": ["ab" * 34]}, "in ak_names must be '000b' and 64 hex digits"),
        ({"envelope_keys": ["04" * 33]}, "in envelope_keys must be '02' or '03' and 64 hex digits"),
    ],
)
def test_what_is_not_a_file_of_reference_values_is_one_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ReferenceValues.from_json(json.dumps({**document(), **change}).encode())


def test_a_list_left_out_is_an_error_and_not_an_empty_list() -> None:
    less = document()
    del less["envelope_keys"]
    with pytest.raises(ConfigurationError, match="'envelope_keys' is missing"):
        ReferenceValues.from_json(json.dumps(less).encode())


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_bytes_of_any_kind_are_a_configuration_error(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^reference values: [^\n]*$"):
        ReferenceValues.from_json(data)


def test_an_entry_that_is_long_is_shown_by_its_first_eighty_characters() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ReferenceValues(firmware=frozenset({"x" * 200}))
    assert f"{'x' * 80!r} in firmware must be" in str(caught.value)
