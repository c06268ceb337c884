"""The wheel, installed with each extra in a fresh environment outside the repository."""

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.request
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.digests.runs import TABLE
from tests.sampling import explored

ROOT = Path(__file__).resolve().parents[2]
BEACON = f"COMPLETED {json.loads(TABLE.read_text())['beacon']}\n"
NEEDS = {"": "rich", "inspector": "textual, textual_serve", "verifier": "starlette, uvicorn, httpx", "arrow": "pyarrow"}
NEEDS |= {"testing": "pytest, hypothesis", "firmware": "ziglang", "dask": "distributed"}
"""The packages of each extra."""
RUNNING = {
    *("capstone", "cbor2", "cffi", "click", "cryptography", "enclave-sim", "gmpy2", "markdown-it-py", "mdurl"),
    *("msgspec", "perfetto", "protobuf", "pycparser", "pyelftools", "pygments", "pyvcd", "rich", "typing-extensions"),
    *("unicorn", "wasmtime"),
}
"""All that `make run` installs. Another one costs everybody time and space: it needs a reason."""
MOST_BYTES = 110_000_000
"""The size of these packages. The environment itself, with pip, and bytecode add 40 MB; 150 MB in all are the goal."""
ENDING = "libunicorn.a"
"""A file that `make run` removes."""


def test_every_extra_is_installed_here_and_named_by_the_readme() -> None:
    """`dev` and `docs` are for a clone, and `dev` includes all the others."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = settings["optional-dependencies"].keys() - {"dev", "docs"}
    assert extras == NEEDS.keys() - {""}
    readme = (ROOT / "README.md").read_text()
    assert [extra for extra in extras if f"| `{extra}` |" not in readme] == []


def needed(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """Add a distribution and all that it requires here, without extras, to those found."""
    one = distribution(name)
    if canonicalize_name(one.name) not in found:
        found[canonicalize_name(one.name)] = one
        for requirement in map(Requirement, one.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed(requirement.name, found)
    return found


def test_running_needs_these_packages_and_no_others() -> None:
    found = needed("enclave-sim", {})
    assert found.keys() - RUNNING == set()
    assert RUNNING - found.keys() <= {"typing-extensions"}, "newer versions of Python need it no more"
    sizes = {
        name: sum(file.size or 0 for file in one.files or () if file.name != ENDING) for name, one in found.items()
    }
    assert 50_000_000 < sum(sizes.values()) < MOST_BYTES, sizes


def test_make_run_installs_nothing_else_and_says_how_large_it_is() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^\$\(RUNS\):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert [line.split()[1:] for line in recipe.splitlines() if "$(PIP)" in line] == [["--editable", "."]]
    assert re.search(rf"rm -f .*/{ENDING} ", recipe)
    (said,) = re.findall(r"about (\d+) MB, half a minute", recipe)
    assert int(said) <= 150
    assert f"| {said} MB | half a minute" in (ROOT / "README.md").read_text()
    assert re.search(r"^run: \$\(RUNS\) ", makefile, re.MULTILINE)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.iterdir())


@pytest.fixture(scope="module")
def index() -> None:
    """Skip if no package index answers."""
    address = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    try:
        urllib.request.urlopen(f"{address}/click/", timeout=60).close()
    except OSError as error:
        pytest.skip(f"{address} cannot be reached: {error}")


@pytest.mark.slow
@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("extra", explored(NEEDS, "", "inspector"))
def test_the_wheel_runs_from_a_fresh_environment(wheel: Path, tmp_path: Path, extra: str) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    target = f"{wheel}[{extra}]" if extra else str(wheel)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile", target]
    subprocess.run(pip, check=True, capture_output=True, cwd=tmp_path)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    command = [str(environment / "bin" / "enclave-sim"), "run", "beacon", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=clean)
    assert (done.returncode, done.stdout, done.stderr) == (0, BEACON, "")
    found = "import enclave_sim, pathlib; print(pathlib.Path(enclave_sim.__file__).parents[0])"
    words = [str(python), "-c", f"import {NEEDS[extra]}; {found}"]
    where = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path, env=clean).stdout
    assert where.startswith(str(environment))
