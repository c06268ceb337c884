"""The import graph of the packages, read from the sources by grimp: files, rooms, and the arrows between rooms.

Every import counts: at the top of a file, under TYPE_CHECKING, or inside a function. A room is a folder with Python
files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("enclave_sim", "machine")

Arrow = tuple[str, str]
"""Importer and imported, by their dotted names."""


@dataclass(frozen=True)
class House:
    """Modules with the folder and the length of each, and the imports between them."""

    rooms: Mapping[str, str]
    """The room of each module, by the module's name."""
    lines: Mapping[str, int]
    """The length of each module's file, by the module's name."""
    imports: frozenset[Arrow]

    def arrows(self) -> frozenset[Arrow]:
        """Return the arrows between rooms."""
        between = {(self.rooms[importer], self.rooms[imported]) for importer, imported in self.imports}
        return frozenset((a, b) for a, b in between if a != b)

    def longest(self) -> str:
        """Return the name of the module with the most lines; of several the first by name."""
        return min(self.lines, key=lambda module: (-self.lines[module], module))


def read(root: Path = ROOT, packages: Iterable[str] = PACKAGES) -> House:
    """Read the packages in `root`, which must be the ones that Python imports under their names."""
    packages = tuple(packages)
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=False, cache_dir=None)
    files = {_module(path.relative_to(root)): path for name in packages for path in (root / name).rglob("*.py")}
    return House(
        rooms={module: _dotted(path.parent.relative_to(root)) for module, path in files.items()},
        lines={module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in files.items()},
        imports=frozenset(
            (importer, imported)
            for importer in files
            for imported in graph.find_modules_directly_imported_by(importer)
            if imported in files
        ),
    )


def _module(path: Path) -> str:
    return _dotted(path.parent if path.name == "__init__.py" else path.with_suffix(""))


def _dotted(path: Path) -> str:
    return ".".join(path.parts)
