"""`make release`: build the sdist and the wheel of the commit that is checked out, in dist/. Nothing is uploaded.

Refuses a tree with changes, and a version without a section in CHANGELOG.md. Checks that the wheel has every file of
the packages, that its metadata are what an index accepts, and that the enclave boots from it.
Exits with 1 if something is wrong, and leaves dist/ unchanged.
"""

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from tests.release.building import boot, build, check_metadata, commit_time, export, left_out
from tests.release.refusals import refusals, version

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Build a release. Returns the exit code."""
    reasons = list(refusals(ROOT))
    for reason in reasons:
        print(f"No release: {reason}.", file=sys.stderr)
    if reasons:
        return 1
    dist = ROOT / "dist"
    with tempfile.TemporaryDirectory() as directory:
        source, out = Path(directory, "source"), Path(directory, "out")
        source.mkdir()
        export(ROOT, source)
        built = build(source, out, commit_time(ROOT))
        wheel = next(path for path in built if path.suffix == ".whl")
        if absent := left_out(source, wheel):
            print(f"No release: the wheel lacks {', '.join(absent)}.", file=sys.stderr)
            return 1
        check_metadata(built)
        boot(wheel)
        shutil.rmtree(dist, ignore_errors=True)
        shutil.copytree(out, dist)
    print(f"Enclave Sim {version(ROOT)}, in {dist.name}/:")
    for path in sorted(dist.iterdir()):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
