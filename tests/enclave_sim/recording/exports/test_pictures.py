"""The look of reports, compared with stored pages, which RENEW=1 rewrites."""

from pathlib import Path

import pytest

from enclave_sim.recording.exports.formats import Format
from tests.enclave_sim.recording.exports.runs import HEADER, exported, host_calls
from tests.renewing import RENEW

PAGES = Path(__file__).with_name("pages")


@pytest.mark.parametrize("count", [3, 2000], ids=["each event is drawn", "shares are drawn"])
def test_a_report_looks_as_before(count: int) -> None:
    page = exported(HEADER, list(host_calls(count)), Format.HTML).decode()
    kept = PAGES / f"host_calls_{count}.html"
    if RENEW:
        kept.write_text(page)
    assert page.split("<") == kept.read_text().split("<")
