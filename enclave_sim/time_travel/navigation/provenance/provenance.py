"""The provenance of values: the tree of all writes from which a value came."""

from collections.abc import Collection
from dataclasses import replace
from heapq import heappop, heappush
from typing import Any

from enclave_sim.time_travel.navigation.provenance.answers import LISTED, End, Ending, Origin, Role, Source, Use, Value
from enclave_sim.time_travel.navigation.provenance.origins import Origins
from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.navigation.register_write import RegisterWrites
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline

_MOST = 200
"""Values whose origins are looked for, at most."""


class Provenance:
    """Finds where values in a timeline came from. See `Travel.where_from`."""

    def __init__(self, timeline: Timeline[Any], registers: RegisterWrites) -> None:
        self._timeline = timeline
        self._origins = Origins(timeline, registers)
        self._known: dict[tuple[Place, Position, int], Value] = {}
        self._future = timeline.futures

    def of(
        self, place: Place, position: Position, *, depth: int, within: int, follow: Collection[Role], most: int = _MOST
    ) -> Value:
        """Return a value with its tree. The run is at the same position afterwards.

        Args:
            place: The bytes.
            position: The position at which they have the value.
            depth: The number of writes to follow, one after the other.
            within: The number of steps to go back at most for one write of a register.
            follow: The roles of the sources that are followed.
            most: The number of values whose origins are looked for, at most.

        Returns:
            The tree.
        """
        here = self._timeline.now
        if self._future != self._timeline.futures:
            self._known, self._future = {}, self._timeline.futures
        try:
            return _Tree(self._expanded, depth, within, frozenset(follow), most).grown(
                self._origins.value(place, position)
            )
        finally:
            self._timeline.go_to(here)

    def uses(self, place: Place, position: Position, *, within: int, most: int) -> list[Use]:
        """Return what the run does with a value after a position, where it is again afterwards; see `Uses.of`."""
        here = self._timeline.now
        try:
            return list(self._origins.uses.of(place, position, within, most))
        finally:
            self._timeline.go_to(here)

    def _expanded(self, value: Value, within: int) -> Value:
        key = value.place, value.position, within
        if key not in self._known:
            self._known[key] = self._origins.of(value, within)
        return self._known[key]


class _Tree:
    """Grows a tree, the latest values first: so each stretch of the run is passed once."""

    def __init__(self, expand: Any, depth: int, within: int, follow: frozenset[Role], most: int) -> None:
        self._expand = expand
        self._depth = depth
        self._within = within
        self._follow = follow
        self._most = most
        self._expanded: dict[tuple[Place, Position], Value] = {}
        self._levels: dict[tuple[Place, Position], int] = {}

    def grown(self, root: Value) -> Value:
        """Return a value with its tree."""
        waiting: list[tuple[tuple[int, int], int, Value]] = []
        count = 0

        def put(value: Value, level: int) -> None:
            nonlocal count
            key = value.place, value.position
            if key not in self._levels:
                self._levels[key] = level
                count += 1
                if level < self._depth:
                    order = (-value.position.at_ns, -value.position.step)
                    heappush(waiting, (order, count, value))

        put(root, 0)
        while waiting and len(self._expanded) < self._most:
            _, _, value = heappop(waiting)
            key = value.place, value.position
            made = self._expanded[key] = self._expand(value, self._within)
            for origin in made.origins:
                for source in origin.sources:
                    if source.value is not None and source.role in self._follow:
                        put(source.value, self._levels[key] + 1)
        return self._assembled(root, frozenset())

    def _assembled(self, value: Value, above: frozenset[tuple[Place, Position]]) -> Value:
        key = value.place, value.position
        if key not in self._expanded:
            deep = self._levels.get(key, 0) >= self._depth
            reason = (
                f"not looked further than {self._depth} writes"
                if deep
                else f"not looked at more than {self._most} values"
            )
            return replace(value, limit=Ending(End.LIMIT, f"{reason}; ask for this value to look further"))
        found = self._expanded[key]
        origins = tuple(self._with_tree(origin, above | {key}) for origin in found.origins)
        return replace(found, origins=origins)

    def _with_tree(self, origin: Origin, above: frozenset[tuple[Place, Position]]) -> Origin:
        sources = tuple(self._followed(source, above) for source in origin.sources)
        return replace(origin, sources=sources)

    def _followed(self, source: Source, above: frozenset[tuple[Place, Position]]) -> Source:
        if source.value is None:
            return source
        if source.role not in self._follow:
            return replace(source, value=replace(source.value, limit=LISTED))
        return replace(source, value=self._assembled(source.value, above))
