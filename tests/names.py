"""Names of files of the repository."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("docs", "enclave_sim", "firmware", "machine", "payloads", "tests")
OURS = re.compile(r"[\w-]+\.(py|c|h|S|ld|bin)")
"""A file name without its folder."""


@cache
def files() -> frozenset[str]:
    return frozenset(path.name for room in ROOMS for path in (ROOT / room).rglob("*"))
