"""The layers defined in pyproject.toml, and imports that violate them."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.house.reading import ROOT, Arrow


@dataclass(frozen=True)
class Floor:
    """Modules and packages on one layer, by their full names."""

    names: tuple[str, ...]
    independent: bool
    """They may not import each other."""


@dataclass(frozen=True)
class Layers:
    """One container of a layers contract, with its floors from top to bottom."""

    container: str
    floors: tuple[Floor, ...]

    def upward(self, imports: Iterable[Arrow]) -> list[Arrow]:
        """Return the imports from a floor to one above it, or between two that must not know each other."""
        return sorted(arrow for arrow in imports if self._is_upward(*arrow))

    def _is_upward(self, importer: str, imported: str) -> bool:
        below, above = self._place(importer), self._place(imported)
        if below is None or above is None or below == above:
            return False
        return below[0] > above[0] or (below[0] == above[0] and self.floors[below[0]].independent)

    def _place(self, module: str) -> tuple[int, str] | None:
        for depth, floor in enumerate(self.floors):
            for name in floor.names:
                if module == name or module.startswith(f"{name}."):
                    return depth, name
        return None


def read_layers(pyproject: Path = ROOT / "pyproject.toml") -> list[Layers]:
    """Read every contract of type `layers`; a contract with several containers gives one entry each."""
    contracts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    return [
        Layers(container, tuple(_floor(layer, container) for layer in contract["layers"]))
        for contract in contracts
        if contract["type"] == "layers"
        for container in contract.get("containers", [""])
    ]


def _floor(layer: Any, container: str) -> Floor:
    """Read one layer: names between bars do not know each other, names between colons may; brackets mean optional."""
    prefix = f"{container}." if container else ""
    names = (name.strip().strip("()") for name in layer.replace("|", ":").split(":"))
    return Floor(tuple(prefix + name for name in names), independent=":" not in layer)
