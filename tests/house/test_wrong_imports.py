"""Each contract of import-linter finds an import that breaks it: at the top of a file, for types only, or late."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.house.layers import read_layers
from tests.house.reading import ROOT

CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS = [each for each in CONFIGURATION["contracts"] if each["type"] in ("forbidden", "layers")]
FORMS = {
    "at the top": "import {0}\n",
    "for types only": "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import {0}\n",
    "late": "def late() -> None:\n    import {0}\n",
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    for package in CONFIGURATION["root_packages"]:
        for path in (ROOT / package).rglob("*.py"):
            target = root / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
    return root


def lint(root: Path) -> str:
    """Run import-linter as `make check` does, and return what it prints."""
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([command, "--no-cache"], cwd=root, capture_output=True, text=True, check=False).stdout


def file_of(root: Path, module: str) -> Path | None:
    path = root.joinpath(*module.split("."))
    return next((each for each in (path / "__init__.py", path.with_suffix(".py")) if each.exists()), None)


def broken(root: Path, contract: dict[str, Any]) -> tuple[str, str]:
    """Return an importer and an imported module that the contract forbids."""
    if contract["type"] == "forbidden":
        return contract["source_modules"][0], contract["forbidden_modules"][0]
    (layers,) = (each for each in read_layers() if each.container == contract.get("containers", [""])[0])
    present = [name for floor in layers.floors for name in floor.names if file_of(root, name)]
    return present[-1], present[0]


def test_the_code_as_it_is_breaks_no_contract(copy: Path) -> None:
    assert "0 broken" in lint(copy)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract["name"])
def test_a_wrong_import_breaks_its_contract(copy: Path, contract: dict[str, Any], form: str) -> None:
    importer, imported = broken(copy, contract)
    path = file_of(copy, importer)
    assert path is not None
    before = path.read_text(encoding="utf-8")
    path.write_text(before + FORMS[form].format(imported), encoding="utf-8")
    try:
        report = lint(copy)
    finally:
        path.write_text(before, encoding="utf-8")
    assert f"{contract['name']} BROKEN" in " ".join(report.split())
    assert f"{importer} -> {imported}" in report
