"""docs/verifier-service.md names every error and option there is."""

import re
from http import HTTPStatus
from pathlib import Path

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
    source = (ROOT / "enclave_sim/cli/trust/verifier.py").read_text()
    parameters = re.findall(r"^    ([a-z_]+): Annotated", source, re.M)
    assert len(parameters) == 9
    missing = [name for name in parameters if f"`--{name.replace('_', '-').replace('as-json', 'json')}" not in PAGE]
    assert missing == []
