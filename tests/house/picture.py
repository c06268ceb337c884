"""The picture of the house in SVG: rooms from top to bottom, arrows from importer to imported.

It has no external references, is the same on every host, and follows the reader's light or dark theme.
"""

from collections.abc import Iterator
from html import escape
from itertools import pairwise

from tests.house.layout import Layout, lay_out
from tests.house.plan import Plan
from tests.house.reading import Arrow

_ROOM, _FLOOR, _STOREY = 50, 100, 40
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 30, 40, 62
_LETTER, _SMALL_LETTER = 8.9, 5.9
_MAX_INNER = 34
"""The maximum number of letters of folder names per line in a room."""
_STYLE = """
:root { --ground: #ffffff; --storey: #f3f5f8; --room: #dfe9f5; --line: #6b7c93; --text: #14202e; --quiet: #4d5b6b;
  --implied: #d3dae3; --wrong: #c22f2f }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161c; --storey: #1a2029; --room: #26364a; --line: #8fa3bb; --text: #e8edf3; --quiet: #aab7c5;
    --implied: #2b3541; --wrong: #ff7b72 } }
text { font-family: ui-sans-serif, system-ui, "DejaVu Sans", sans-serif; fill: var(--text); text-anchor: middle }
.name { font-size: 14px; font-weight: 600 } .inner { font-size: 10.5px; fill: var(--quiet) }
.package { font-size: 15px; font-weight: 600; text-anchor: start } .note { font-size: 11px; fill: var(--quiet) }
.storey { fill: var(--storey) } .room { fill: var(--room); stroke: var(--line) }
.arrow { fill: none; stroke: var(--line); stroke-width: 1.4 } .implied { stroke: var(--implied); stroke-width: 1 }
.wrong { stroke: var(--wrong); stroke-width: 1.8; stroke-dasharray: 5 3 }
.head { fill: var(--line) } .wrong-head { fill: var(--wrong) }
"""
_NOTES = (
    "An arrow runs from a room to one that it imports. Pale: others make a way around it.",
    "Red: it runs against the layers, or in a circle.",
)


def draw(plan: Plan) -> str:
    """Draw the plan."""
    return _Drawing(plan).text()


class _Drawing:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        floors = [floor for storey in plan.storeys for floor in storey.floors]
        self.layout: Layout = lay_out(floors, sorted(plan.direct), self._width)
        self.top: list[int] = []
        at = _TOP
        for storey in plan.storeys:
            for _ in storey.floors:
                self.top.append(at)
                at += _FLOOR
            at += _STOREY
        self.height = at - _STOREY - (_FLOOR - _ROOM) + _BOTTOM
        rooms = [room for floor in floors for room in floor]
        self.width = _LEFT + _RIGHT + max(self.layout.centre[room] + self._width(room) // 2 for room in rooms)

    def text(self) -> str:
        """Return the picture as an SVG file."""
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img">',
            f"<title>Rooms of {' and '.join(storey.package for storey in self.plan.storeys)}</title>",
            f"<style>{_STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker>',
            '<marker id="wrong" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'markerUnits="userSpaceOnUse" orient="auto"><path class="wrong-head" d="M0 0L8 4L0 8z"/></marker></defs>',
            f'<rect width="{self.width}" height="{self.height}" fill="var(--ground)"/>',
            *self._storeys(),
            *(
                self._straight(arrow, "arrow implied")
                for arrow in sorted(self.plan.arrows - self.plan.direct - self.plan.wrong)
            ),
            *(self._routed(arrow) for arrow in sorted(self.plan.direct)),
            *self._rooms(),
            *(self._straight(arrow, "arrow wrong") for arrow in sorted(self.plan.wrong)),
            *(
                f'<text class="note" x="{self.width // 2}" y="{self.height - 26 + 15 * line}">{escape(note)}</text>'
                for line, note in enumerate(_NOTES)
            ),
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    def _storeys(self) -> Iterator[str]:
        floor = 0
        for storey in self.plan.storeys:
            top = self.top[floor] - 26
            floor += len(storey.floors)
            height = self.top[floor - 1] + _ROOM + 14 - top
            yield f'<rect class="storey" x="8" y="{top}" width="{self.width - 16}" height="{height}" rx="10"/>'
            yield f'<text class="package" x="20" y="{top + 20}">{escape(storey.package)}</text>'

    def _rooms(self) -> Iterator[str]:
        for storey in self.plan.storeys:
            for room in (room for floor in storey.floors for room in floor):
                x, y = self._middle(room)
                width, inner = self._width(room), self._inner(room)
                yield f"<g><title>{escape(room)}</title>"
                yield f'<rect class="room" x="{x - width // 2}" y="{y}" width="{width}" height="{_ROOM}" rx="6"/>'
                first = y + _ROOM // 2 + 5 - 7 * len(inner)
                yield f'<text class="name" x="{x}" y="{first}">{escape(self._name(room))}</text>'
                for line, names in enumerate(inner):
                    yield f'<text class="inner" x="{x}" y="{first + 13 + 12 * line}">{escape(names)}</text>'
                yield "</g>"

    def _name(self, room: str) -> str:
        """Return the room's name in its package; files outside all layers are grouped under the package's name."""
        return room.partition(".")[2] or f"{room}/*.py"

    def _inner(self, room: str) -> list[str]:
        """Return the names of the folders in the room, in at most two lines."""
        names = ", ".join(self.plan.inner[room])
        if len(names) <= _MAX_INNER:
            return [names] if names else []
        middle = names.rfind(", ", 0, len(names) // 2 + 8) + 2
        return [names[:middle].strip(), names[middle:]]

    def _width(self, room: str) -> int:
        lines = [len(line) * _SMALL_LETTER for line in self._inner(room)]
        return 2 * round((max([len(self._name(room)) * _LETTER, *lines]) + 20) / 2)

    def _middle(self, room: str) -> tuple[int, int]:
        return _LEFT + self.layout.centre[room], self.top[self.layout.floor[room]]

    def _routed(self, arrow: Arrow) -> str:
        """Draw an arrow along its waypoints."""
        route = self.layout.routes[arrow]
        places = [(_LEFT + self.layout.centre[node], self.top[self.layout.floor[node]]) for node in route]
        path = [f"M{places[0][0]} {places[0][1] + _ROOM}"]
        for (x, y), (to_x, to_y) in pairwise(places):
            bend = (to_y - y - _ROOM) // 2
            path.append(f"C{x} {y + _ROOM + bend} {to_x} {to_y - bend} {to_x} {to_y}")
            if to_y != places[-1][1]:
                path.append(f"V{to_y + _ROOM}")
        return self._path(arrow, "".join(path), "arrow", "head")

    def _straight(self, arrow: Arrow, style: str) -> str:
        """Draw an arrow straight from room to room, over or under the rooms in between."""
        (x, y), (to_x, to_y) = self._middle(arrow[0]), self._middle(arrow[1])
        head = "wrong" if "wrong" in style else ""
        if y == to_y:
            return self._path(arrow, f"M{x} {y}Q{(x + to_x) // 2} {y - 44} {to_x} {to_y}", style, head or "head")
        start, end = (y + _ROOM, to_y) if y < to_y else (y, to_y + _ROOM)
        return self._path(arrow, f"M{x} {start}L{to_x} {end}", style, head)

    @staticmethod
    def _path(arrow: Arrow, path: str, style: str, head: str) -> str:
        title = escape(f"{arrow[0]} imports {arrow[1]}")
        end = f' marker-end="url(#{head})"' if head else ""
        return f'<path class="{style}" d="{path}"{end}><title>{title}</title></path>'
