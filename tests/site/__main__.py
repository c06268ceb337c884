"""`make docs`: build the site, in build/site or the directory named."""

import shutil
import sys
from pathlib import Path

from tests.site.building import SiteError, build
from tests.site.places import ROOT, SITE


def main(out: Path = SITE) -> int:
    """Build the site anew. Returns the exit code."""
    shutil.rmtree(out, ignore_errors=True)
    print("Building the site: about half a minute.", flush=True)
    try:
        build(out)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    index = out / "index.html"
    print(f"Read it at {index.relative_to(ROOT) if index.is_relative_to(ROOT) else index}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
