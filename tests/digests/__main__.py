"""Write `table.json` anew: `python -m tests.digests`. Only a change that means to change what runs record does so."""

import json

from tests.digests.runs import RUNS, TABLE, digest

if __name__ == "__main__":
    TABLE.write_text(json.dumps({name: digest(name) for name in RUNS}, indent=1) + "\n")
