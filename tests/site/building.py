"""Build the site with Sphinx: every warning is an error, and the same sources give the same bytes."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.site.places import ROOT
from tests.site.staging import stage

_EPOCH = "1704067200"
"""The date of everything that has one: 1 January 2024. No page shows it."""


class SiteError(Exception):
    """Sphinx refused to build the site; the text is what it printed."""


def build(out: Path) -> None:
    """Build the site in a directory, which may exist.

    Raises:
        SiteError: There is a warning: a broken link, a page in no table of contents, a faulty docstring.
    """
    with tempfile.TemporaryDirectory() as directory:
        source, doctrees = Path(directory, "source"), Path(directory, "doctrees")
        source.mkdir()
        stage(source)
        command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-n", "-q", "-E"]
        command += ["-c", str(Path(__file__).parent), "-d", str(doctrees), str(source), str(out)]
        environment = os.environ | {"SOURCE_DATE_EPOCH": _EPOCH, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SiteError(done.stdout + done.stderr.replace(f"{source}/", ""))
    (out / ".buildinfo").unlink(missing_ok=True)
