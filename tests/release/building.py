"""Build the sdist and the wheel, the same bytes each time, and check them.

The same bytes need the same hatchling, whose version is in the wheel's metadata.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path


def commit_time(root: Path) -> int:
    """Return the time of the checked-out commit, in seconds since 1970."""
    command = ["git", "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout)


def export(root: Path, to: Path) -> None:
    """Write only the files of the checked-out commit to a directory."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=root, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(to)], input=archive, check=True)


def build(source: Path, out: Path, epoch: int) -> list[Path]:
    """Build the sdist, and the wheel from the sdist, which proves that the sdist is complete.

    `epoch` dates every file, in seconds since 1970. Nothing is downloaded: hatchling is the one installed here.
    """
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return sorted(out.iterdir())


def left_out(source: Path, wheel: Path) -> list[str]:
    """Return the files of the packages in `source` that the wheel lacks: images, payloads and native code are data."""
    settings = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    packages = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = {path for package in packages for path in (source / package).rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        return sorted({path.relative_to(source).as_posix() for path in files} - set(archive.namelist()))


def check_metadata(built: list[Path]) -> None:
    """Check the metadata with twine, as an index would."""
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, built)], check=True)


def boot(wheel: Path) -> None:
    """Run the enclave from the wheel's own files."""
    with tempfile.TemporaryDirectory() as directory:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(directory)
        command = [sys.executable, "-m", "enclave_sim", "run", "beacon", "--json"]
        subprocess.run(command, cwd=directory, check=True, stdout=subprocess.PIPE)
