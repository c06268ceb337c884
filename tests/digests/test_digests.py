"""Recordings stay the same, byte for byte, however the code is reorganized."""

import json

import pytest

from tests.digests.runs import RUNS, TABLE, digest

KNOWN: dict[str, str] = json.loads(TABLE.read_text())


@pytest.mark.complete
@pytest.mark.parametrize("name", RUNS)
def test_a_run_records_what_it_did(name: str) -> None:
    assert digest(name) == KNOWN[name], f"{name} records something else; python -m tests.digests if that is meant"


def test_the_table_names_every_run_and_no_other() -> None:
    assert list(KNOWN) == list(RUNS)
    assert len(set(KNOWN.values())) == len(KNOWN)
