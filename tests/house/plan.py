"""The plan of the house: the rooms in the picture, their floors and their arrows.

It shows the folders directly in a package, and the files named by a layer. Other files of the package are grouped under
the package's name. Deeper folders are named in their room.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.house.circles import circles, components
from tests.house.layers import Layers
from tests.house.reading import Arrow, House


@dataclass(frozen=True)
class Storey:
    """A package in the picture: rooms from top to bottom."""

    package: str
    floors: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Plan:
    """The contents of the picture."""

    storeys: tuple[Storey, ...]
    inner: Mapping[str, tuple[str, ...]]
    """The folders in each room, by the room's name."""
    arrows: frozenset[Arrow]
    direct: frozenset[Arrow]
    """The downward arrows that no path of others replaces."""
    wrong: frozenset[Arrow]
    """Arrows that run upwards, or in a circle, or, if that is forbidden, between rooms on one floor."""


def plan(house: House, layers: Sequence[Layers]) -> Plan:
    """Make the plan."""
    named = {name for each in layers for floor in each.floors for name in floor.names}
    shown = {module: _shown(module, house, named) for module in house.rooms}
    rooms = set(shown.values())
    arrows = frozenset((shown[a], shown[b]) for a, b in house.imports if shown[a] != shown[b])
    by_package = {each.container: each for each in layers}
    packages = [name for part in components(*_between_packages(rooms, arrows)) for name in sorted(part)]
    storeys = [
        Storey(name, _floors({room for room in rooms if _package(room) == name}, arrows, by_package.get(name)))
        for name in packages
    ]
    level = {room: depth for depth, floor in enumerate(f for each in storeys for f in each.floors) for room in floor}
    in_circles = {(a, b) for circle in circles(rooms, arrows) for a, b in arrows if a in circle and b in circle}
    upward = {(shown[a], shown[b]) for each in layers for a, b in each.upward(house.imports)}
    climbing = {(a, b) for a, b in arrows if level[a] > level[b]}
    wrong = frozenset((in_circles | upward | climbing) & arrows)
    return Plan(
        storeys=tuple(storeys),
        inner={room: _inner(room, house) for room in sorted(rooms)},
        arrows=arrows,
        direct=frozenset((a, b) for a, b in _direct(arrows - wrong) if level[a] < level[b]),
        wrong=wrong,
    )


def _shown(module: str, house: House, named: set[str]) -> str:
    """Return the room that represents a module in the picture."""
    package, *names = module.split(".")
    if not names:
        return package
    first = f"{package}.{names[0]}"
    return first if first in named or house.rooms[module] != package else package


def _package(room: str) -> str:
    return room.partition(".")[0]


def _between_packages(rooms: set[str], arrows: Iterable[Arrow]) -> tuple[set[str], set[Arrow]]:
    return {_package(room) for room in rooms}, {(_package(a), _package(b)) for a, b in arrows}


def _inner(room: str, house: House) -> tuple[str, ...]:
    within = {name.removeprefix(f"{room}.") for name in house.rooms.values() if name.startswith(f"{room}.")}
    return tuple(sorted({name.partition(".")[0] for name in within})) if "." in room else ()


def _floors(rooms: set[str], arrows: Iterable[Arrow], layers: Layers | None) -> tuple[tuple[str, ...], ...]:
    """Return the floors of a contract, below rooms that it does not name; without a contract, those from the arrows."""
    if layers is None:
        return _floors_by_arrows(rooms, arrows)
    known = [tuple(sorted(set(floor.names) & rooms)) for floor in layers.floors]
    rest = rooms.difference(*known)
    return (*_floors_by_arrows(rest, arrows), *(floor for floor in known if floor))


def _floors_by_arrows(rooms: set[str], arrows: Iterable[Arrow]) -> tuple[tuple[str, ...], ...]:
    """Put each room one floor below its lowest importer; a circle shares a floor."""
    depth: dict[str, int] = {}
    inside = [(a, b) for a, b in arrows if a in rooms and b in rooms]
    for part in components(rooms, inside):
        importers = [a for a, b in inside if b in part and a not in part]
        depth |= dict.fromkeys(part, 1 + max((depth[a] for a in importers), default=-1))
    return tuple(tuple(sorted(r for r in rooms if depth[r] == d)) for d in sorted(set(depth.values())))


def _direct(arrows: Iterable[Arrow]) -> frozenset[Arrow]:
    """Leave out each arrow replaced by a path of others (the transitive reduction)."""
    below: dict[str, set[str]] = {}
    for importer, imported in arrows:
        below.setdefault(importer, set()).add(imported)

    def reached(room: str) -> set[str]:
        found, waiting = set[str](), [room]
        while waiting:
            for other in below.get(waiting.pop(), set()) - found:
                found.add(other)
                waiting.append(other)
        return found

    return frozenset(
        (a, b) for a, others in below.items() for b in others if not any(b in reached(c) for c in others - {b})
    )
