"""The layout of rooms and arrows: few crossings, arrows as straight as the rooms' widths allow.

This is Sugiyama's layered drawing: arrows over several floors get a waypoint on each floor in between; floors are
ordered by barycentres; then each floor takes the places nearest to its neighbours' (pool adjacent violators).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum

from tests.house.reading import Arrow

Waypoint = tuple[str, str, int]
"""Importer, imported, and the floor that the arrow crosses."""
Node = str | Waypoint
Row = list[Node]

_SWEEPS = 16
_GAP, _ARROW_GAP = 18, 11


@dataclass(frozen=True)
class Layout:
    """Places in pixels; `centre` is horizontal, and the floors are counted from the top."""

    centre: Mapping[Node, int]
    floor: Mapping[Node, int]
    routes: Mapping[Arrow, tuple[Node, ...]]
    """Each arrow's path: the importer, the waypoints, the imported room."""


def lay_out(floors: Sequence[Sequence[str]], arrows: Sequence[Arrow], width: Callable[[str], int]) -> Layout:
    """Place the rooms. Arrows must run downwards."""
    depth = {room: index for index, rooms in enumerate(floors) for room in rooms}
    rows: list[Row] = [list(rooms) for rooms in floors]
    routes: dict[Arrow, tuple[Node, ...]] = {}
    links: dict[Node, list[Node]] = defaultdict(list)
    for a, b in sorted(arrows):
        between: list[Waypoint] = [(a, b, floor) for floor in range(depth[a] + 1, depth[b])]
        routes[a, b] = (a, *between, b)
        for waypoint in between:
            rows[waypoint[2]].append(waypoint)
        for upper, lower in pairwise(routes[a, b]):
            links[upper].append(lower)
            links[lower].append(upper)
    floor_of: dict[Node, int] = {node: index for index, row in enumerate(rows) for node in row}
    rows = _ordered(rows, links, floor_of)
    return Layout(_places(rows, links, width), floor_of, routes)


def _ordered(rows: list[Row], links: Mapping[Node, list[Node]], floor_of: Mapping[Node, int]) -> list[Row]:
    """Sweep down and up, ordering each floor by its neighbours, and keep the order with the fewest crossings."""
    best, fewest = [list(row) for row in rows], _crossings(rows, links, floor_of)
    for sweep in range(_SWEEPS):
        side = -1 if sweep % 2 == 0 else 1
        for row in rows if side < 0 else reversed(rows):
            position = {node: place for each in rows for place, node in enumerate(each)}
            keys = {node: _barycentre(node, links, floor_of, position, side) for node in row}
            row.sort(key=keys.__getitem__)
        crossings = _crossings(rows, links, floor_of)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _barycentre(
    node: Node,
    links: Mapping[Node, list[Node]],
    floor_of: Mapping[Node, int],
    position: Mapping[Node, int],
    side: int,
) -> float:
    near = [position[other] for other in links[node] if floor_of[other] == floor_of[node] + side]
    return sum(near) / len(near) if near else position[node]


def _crossings(rows: list[Row], links: Mapping[Node, list[Node]], floor_of: Mapping[Node, int]) -> int:
    position = {node: place for row in rows for place, node in enumerate(row)}
    total = 0
    for row in rows:
        ends = [
            (position[node], position[other])
            for node in row
            for other in links[node]
            if floor_of[other] == floor_of[node] + 1
        ]
        total += sum((a < c) != (b < d) for i, (a, b) in enumerate(ends) for c, d in ends[:i] if a != c and b != d)
    return total


def _places(rows: list[Row], links: Mapping[Node, list[Node]], width: Callable[[str], int]) -> dict[Node, int]:
    """Repeatedly move each floor as near to its neighbours as its order and widths allow."""
    place: dict[Node, float] = {}
    for row in rows:
        at = 0.0
        for node in row:
            place[node] = at + _half(node, width)
            at += 2 * _half(node, width) + _GAP
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 else reversed(rows):
            wanted = [fsum(place[o] for o in links[n]) / len(links[n]) if links[n] else place[n] for n in row]
            place |= zip(row, _spread(row, wanted, width), strict=True)
    left = min(place[node] - _half(node, width) for node in place)
    return {node: round(at - left) for node, at in place.items()}


def _spread(row: Row, wanted: Sequence[float], width: Callable[[str], int]) -> list[float]:
    """Return the places nearest to the wanted ones, by least squares, without overlap."""
    offsets, at = [0.0], 0.0
    for left, right in pairwise(row):
        both = isinstance(left, tuple) and isinstance(right, tuple)
        at += _half(left, width) + _half(right, width) + (_ARROW_GAP if both else _GAP)
        offsets.append(at)
    pools: list[tuple[float, int]] = []
    for goal, offset in zip(wanted, offsets, strict=True):
        mean, count = goal - offset, 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean, count = (mean * count + other * others) / (count + others), count + others
        pools.append((mean, count))
    means = [mean for mean, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _half(node: Node, width: Callable[[str], int]) -> float:
    return width(node) / 2 if isinstance(node, str) else 0.0
