"""docs/verifier-service.md names every error and option there is."""

import re
from http import HTTPStatus
from pathlib import Path

from enclave_sim.attestation.service import application, connections, database
from enclave_sim.cli.trust.verifier import serve

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/verifier-service.md").read_text()


def test_every_error_is_documented_with_its_status() -> None:
    source = "".join(
        (ROOT / f"enclave_sim/attestation/service/{name}.py").read_text() for name in ("application", "verifier")
    )
    errors = re.findall(r'HTTPStatus\.([A-Z_]+),\s*f?"([a-z_{}]+)"', source)
    assert len(errors) >= 12
    for status, error in errors:
        word = error.replace("{name}", "limit")
        assert re.search(rf"^\| [^|]*{HTTPStatus[status].value}[^|]* \| [^|]*`{word}`", PAGE, re.M), (status, error)


def test_every_option_is_documented() -> None:
    names = [one.opts[0] for one in serve.params]
    assert len(names) == 9
    assert [name for name in names if f"`{name}" not in PAGE] == []


def test_every_limit_is_documented() -> None:
    assert f"| {connections.EXCHANGE_S:g} s for each exchange" in PAGE
    assert f"| {connections.MAX_PER_ADDRESS} connections from an address |" in PAGE
    assert f"| {connections.MAX_CONNECTIONS} connections, or half of the files" in PAGE
    assert f"the last {database.KEPT_CHALLENGES:,} |" in PAGE
    accepted, refused = (f"the last {kept.rows:,}, at most {kept.size >> 20} MiB" for kept in database.KEPT.values())
    assert f"of those that accept, {accepted}; of those that refuse, {refused} |" in PAGE
    assert f"{application.MAX_LISTED} or {database.MAX_LISTED_BYTES >> 20} MiB at most" in PAGE
