"""Rewrite `table.json`: `python -m tests.digests`. Do so only for an intended change of recordings."""

import json

from tests.digests.runs import RUNS, TABLE, digest

if __name__ == "__main__":
    TABLE.write_text(json.dumps({name: digest(name) for name in RUNS}, indent=1) + "\n")
