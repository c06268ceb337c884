"""`python -m tests.house`: count files, rooms and arrows of the packages, and name upward arrows and circles."""

import argparse
import json
import sys
from pathlib import Path

from tests.house.circles import circles_of_imports
from tests.house.layers import Layers, read_layers
from tests.house.picture import draw
from tests.house.plan import plan
from tests.house.reading import PACKAGES, ROOT, House, read

PICTURE = ROOT / "docs" / "rooms.svg"


def facts(house: House, layers: list[Layers]) -> dict[str, object]:
    """Return the printed facts, for JSON."""
    longest = house.longest()
    return {
        "packages": list(PACKAGES),
        "files": len(house.rooms),
        "rooms": len(set(house.rooms.values())),
        "arrows": len(house.arrows()),
        "upward": [list(arrow) for each in layers for arrow in each.upward(house.imports)],
        "circles": circles_of_imports(house.imports),
        "longest": {"module": longest, "lines": house.lines[longest]},
    }


def main(arguments: list[str]) -> None:
    """Print the facts, or draw the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.house", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    parser.add_argument(
        "--draw", nargs="?", type=Path, const=PICTURE, metavar="FILE", help="draw the rooms (default docs/rooms.svg)"
    )
    chosen = parser.parse_args(arguments)
    house, layers = read(), read_layers()
    if chosen.draw:
        chosen.draw.write_text(draw(plan(house, layers)), encoding="utf-8")
    elif chosen.json:
        print(json.dumps(facts(house, layers), indent=1))
    else:
        print(_text(house, layers))


def _text(house: House, layers: list[Layers]) -> str:
    upward = [arrow for each in layers for arrow in each.upward(house.imports)]
    rings, longest = circles_of_imports(house.imports), house.longest()
    rows = [
        ("files", len(house.rooms)),
        ("rooms", len(set(house.rooms.values()))),
        ("arrows between rooms", len(house.arrows())),
        ("upward arrows", len(upward)),
        *((f"  {importer} imports {imported}", "") for importer, imported in upward),
        ("circles", len(rings)),
        *((f"  {' '.join(ring)}", "") for ring in rings),
        ("longest file", f"{longest}, {house.lines[longest]} lines"),
    ]
    return "\n".join(f"{name:<22}{value}".rstrip() for name, value in rows)


if __name__ == "__main__":
    main(sys.argv[1:])
