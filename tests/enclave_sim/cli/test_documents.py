"""The pages name all commands and options."""

import typing
from pathlib import Path

from enclave_sim.events import AnyEvent

ROOT = Path(__file__).parents[3]


def test_every_kind_of_event_is_documented() -> None:
    page = (ROOT / "docs/recordings.md").read_text()
    assert [k for kind in typing.get_args(AnyEvent) if f"`{(k := kind.__struct_config__.tag)}`" not in page] == [], (
        "add these to the table of kinds in docs/recordings.md"
    )
