"""The sources of the site: pages of the repository with their links turned, and pages made from the code."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.documents.notebook import NOTEBOOKS, markdown
from tests.site import command_line, hardware, python_api, schemas, tables
from tests.site.places import DOCS, PROJECT, ROOT

GENERATED: dict[str, tuple[str, Callable[[], str]]] = {
    "command-line": ("Command line", command_line.page),
    "exit-codes": ("Exit codes", tables.exit_codes),
    "events": ("Events", tables.events),
    "inputs": ("Kinds of input", tables.inputs),
    "words": ("Phases, status word, causes", tables.words),
    "regions": ("Regions of memory", hardware.memory_map),
    "registers": ("Device registers", hardware.registers),
    "schemas": ("JSON Schemas", schemas.page),
}
"""The pages made from the code: their names in reference/, their titles, and what makes them."""
_FILES = ("*.svg", "*.json")


def stage(to: Path) -> None:
    """Write all sources to an empty directory."""
    for page in sorted(DOCS.glob("*.md")):
        (to / page.name).write_text(
            _turned(page.read_text("utf-8"), {f"../{name}": new for name, new in PROJECT.items()})
        )
    for notebook in NOTEBOOKS:
        (to / f"{notebook.stem}.md").write_text(markdown(notebook.read_text("utf-8")))
    for ending in _FILES:
        for file in sorted(DOCS.rglob(ending)):
            copy = to / file.relative_to(DOCS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    for name, new in PROJECT.items():
        (to / new).write_text(_turned((ROOT / name).read_text("utf-8"), PROJECT))
    shutil.copyfile(ROOT / "LICENSE", to / "LICENSE")
    reference = to / "reference"
    reference.mkdir()
    for name, (_, made) in GENERATED.items():
        (reference / f"{name}.md").write_text(made())
    for package, text in python_api.pages():
        (reference / f"{package}.rst").write_text(text)
    index = to / "index.md"
    index.write_text(index.read_text() + "\n".join(_tables_of_contents(index.read_text())))


def sections(index: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the title of each section of docs/index.md, and the pages that it lists, in order."""
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        yield title, re.findall(r"^\* \[[^\]]*\]\(([\w-]+)\.(?:md|ipynb)", text, re.MULTILINE)


def _tables_of_contents(index: str) -> Iterator[str]:
    for title, names in sections(index):
        yield from _toctree(title, names)
    made = [f"{title} <reference/{name}>" for name, (title, _) in GENERATED.items()]
    yield from _toctree(
        "Reference, made from the code", [*made, *(f"reference/{name}" for name in (*python_api.PACKAGES, "errors"))]
    )
    yield from _toctree("Project", [new.removesuffix(".md") for new in PROJECT.values()])


def _toctree(title: str, names: list[str]) -> list[str]:
    return ["", "```{toctree}", ":hidden:", f":caption: {title}", "", *names, "```", ""]


def _turned(text: str, renamed: dict[str, str]) -> str:
    """Return a page whose links name the files as they stand in the site, where docs/ is the first level."""

    def turn(link: re.Match[str]) -> str:
        target, section = link[1], link[2] or ""
        turned = renamed.get(target, target.removeprefix("docs/"))
        return f"]({re.sub('[.]ipynb$', '.md', turned)}{section})"

    return re.sub(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)", turn, text)
