"""Rewrite program output: `python -m tests.documents [PAGE...]`; without arguments also notebooks and schemas."""

import json
import os
import sys
import tempfile
from pathlib import Path

from enclave_sim.cli.schema import Output, schema_of
from tests.documents.blocks import PAGES, ROOT, blocks
from tests.documents.comparing import chosen, replaced
from tests.documents.notebook import NOTEBOOKS, written
from tests.documents.reader import Reader


def rewrite(page: Path) -> int:
    """Run the page, replace wrong output with the printed one, and return the number of replacements."""
    reader = Reader()
    wrong = [shown for block in blocks(page) for shown in reader.follow(block) if not shown.right]
    text = page.read_text()
    for shown in reversed(wrong):
        renew = replaced if shown.block.argument("from") is None else chosen
        text = text[: shown.start] + renew(shown.text, shown.printed) + text[shown.start + len(shown.text) :]
    page.write_text(text)
    return len(wrong)


if __name__ == "__main__":
    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1"}
    for page in [Path(name).resolve() for name in sys.argv[1:]] or PAGES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            print(f"{page.relative_to(ROOT)}: {rewrite(page)} places written anew")
    for notebook in NOTEBOOKS if not sys.argv[1:] else ():
        print(f"{notebook.relative_to(ROOT)}: {'written anew' if written(notebook) else 'unchanged'}")
    for output in Output if not sys.argv[1:] else ():
        schema = ROOT / "docs" / "schemas" / f"{output.value}.schema.json"
        schema.write_text(f"{json.dumps(schema_of(output), indent=2)}\n")
