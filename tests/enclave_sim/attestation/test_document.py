"""docs/attestation-evidence.md says what the code does."""

import json
import re
from pathlib import Path

from enclave_sim.attestation import Evidence, Policy, ReferenceValues, verify
from enclave_sim.attestation import evidence as profile
from tests.enclave_sim.attestation.nodes import CHALLENGE, ENVELOPE_KEY, HONEST, reference

PAGE = (Path(__file__).parents[3] / "docs" / "attestation-evidence.md").read_text()


def test_the_page_lists_every_check_in_the_order_in_which_they_are_made() -> None:
    table = PAGE.partition("| Check | Passes if |\n|---|---|\n")[2].partition("\n\n")[0]
    listed = [name for row in table.splitlines() for name in row.split("|")[1].strip().split(", ")]
    file = Evidence.decode(HONEST.evidence().encode(ENVELOPE_KEY))
    made = [check.name for check in verify(file, CHALLENGE, reference(), Policy()).checks]
    one_quote = [re.sub(r"^quote 1 ", "quote N ", name) for name in made if not name.startswith("quote 2 ")]
    assert listed == one_quote


def test_the_page_lists_every_claim_and_names_the_profile() -> None:
    table = PAGE.partition("| Claim | Name | Value |\n|---|---|---|\n")[2].partition("\n\n")[0]
    listed = [int(row.split("|")[1]) for row in table.splitlines()]
    claims = ("EAT_NONCE", "UEID", "EAT_PROFILE", "BOOT_COUNT", "MEASUREMENTS", "CYCLE", "QUOTES")
    assert listed == [getattr(profile, name) for name in claims]
    assert f"`{profile.PROFILE}`" in PAGE


def test_the_page_shows_the_members_of_a_file_of_reference_values() -> None:
    example = json.loads(PAGE.partition("```json\n")[2].partition("```")[0])
    assert list(example) == list(json.loads(ReferenceValues().to_json()))
