"""The import graph is read completely, violations are found, and the picture in docs is up to date."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.house.__main__ import PICTURE, main
from tests.house.circles import circles, circles_of_imports, components
from tests.house.layers import Layers, read_layers
from tests.house.picture import draw
from tests.house.plan import Plan, plan
from tests.house.reading import PACKAGES, ROOT, House, read

BY_NAME = re.compile(r"\b(import_module|__import__)\(")
LAYERS = """
[[tool.importlinter.contracts]]
name = "floors"
type = "layers"
containers = ["small"]
layers = ["roof", "left | right", "(stairs) : well", "ground"]
"""


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    (tmp_path / "pyproject.toml").write_text(LAYERS)
    (only,) = read_layers(tmp_path / "pyproject.toml")
    return only


def house(*imports: tuple[str, str]) -> House:
    modules = {name for arrow in imports for name in arrow}
    rooms = {name: name.rpartition(".")[0] or name for name in modules}
    return House(rooms, dict.fromkeys(modules, 1), frozenset(imports))


def test_imports_count_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "house_that_is_read" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("from house_that_is_read import first\n")
    (inner.parent / "first.py").write_text(
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from . import second"
    )
    (inner.parent / "second.py").write_text("def late():\n    import house_that_is_read.inner\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = read(tmp_path, ["house_that_is_read"])
    names = {(a.removeprefix("house_that_is_read."), b.removeprefix("house_that_is_read.")) for a, b in found.imports}
    assert names == {("inner", "first"), ("first", "second"), ("second", "inner")}
    room, inside = "house_that_is_read", "house_that_is_read.inner"
    assert found.arrows() == {(room, inside), (inside, room)}
    assert found.rooms[inside] == inside
    assert found.longest() == "house_that_is_read.first"
    assert found.lines[found.longest()] == 4


def test_components_come_after_those_that_have_arrows_to_them() -> None:
    arrows = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("a", "d")]
    assert components("abcd", arrows) == [frozenset("a"), frozenset("bc"), frozenset("d")]
    assert circles("abcd", arrows) == [["b", "c"]]


def test_rooms_are_in_a_circle_even_if_no_module_of_theirs_is() -> None:
    there, back = ("a.left.door", "a.right.wall"), ("a.right.window", "a.left.floor")
    assert circles_of_imports({there, back}) == [["a.left", "a.right"]]


def test_modules_are_in_a_circle_once_even_side_by_side() -> None:
    assert circles_of_imports({("a.b.c", "a.b.d"), ("a.b.d", "a.b.c")}) == [["a.b.c", "a.b.d"]]


def test_a_package_and_what_is_in_it_are_not_side_by_side() -> None:
    assert circles_of_imports({("a.b", "a.c"), ("a.c", "a.b.d")}) == [["a.b", "a.c"]]
    assert circles_of_imports({("a", "a.b"), ("a.b.c", "a.d")}) == []


@pytest.mark.parametrize(
    "arrow",
    [
        ("ground", "roof"),
        ("ground.deep.hole", "stairs"),
        ("well", "left.door"),
        ("left", "right"),
        ("right.a", "left.b"),
    ],
)
def test_an_arrow_against_the_layers_is_upward(layers: Layers, arrow: tuple[str, str]) -> None:
    full = (f"small.{arrow[0]}", f"small.{arrow[1]}")
    assert layers.upward([full]) == [full]


@pytest.mark.parametrize(
    "arrow", [("roof", "ground"), ("left.a", "left.b"), ("stairs", "well"), ("unnamed", "roof"), ("ground", "roofer")]
)
def test_any_other_arrow_is_not(layers: Layers, arrow: tuple[str, str]) -> None:
    assert layers.upward([(f"small.{arrow[0]}", f"small.{arrow[1]}")]) == []


def drawn_up(layers: Layers) -> Plan:
    roof_to_ground = ("small.roof.tiles", "small.ground")
    around = (("small.roof.tiles", "small.left.door"), ("small.left.door", "small.ground"))
    return plan(house(roof_to_ground, *around, ("small.ground", "small.right.wall")), [layers])


def test_a_plan_has_the_floors_of_the_contract_and_tells_arrows_apart(layers: Layers) -> None:
    drawn = drawn_up(layers)
    assert [storey.floors for storey in drawn.storeys] == [
        (("small.roof",), ("small.left", "small.right"), ("small.ground",))
    ]
    assert drawn.wrong == {("small.ground", "small.right")}
    assert drawn.direct == {("small.roof", "small.left"), ("small.left", "small.ground")}
    assert drawn.arrows == drawn.direct | drawn.wrong | {("small.roof", "small.ground")}


def test_without_a_contract_floors_follow_the_arrows() -> None:
    arrows = (("big.top.a", "big.middle.b"), ("big.middle.b", "big.low.c"), ("big.low.c", "big.middle.d"))
    (storey,) = plan(house(*arrows), []).storeys
    assert storey.floors == (("big.top",), ("big.low", "big.middle"))


def test_rooms_that_a_contract_does_not_name_stand_on_top_in_the_order_of_their_arrows(layers: Layers) -> None:
    arrows = (("small.attic.a", "small.bell.b"), ("small.bell.b", "small.roof.tiles"), ("small.ground", "small.bell.b"))
    drawn = plan(house(*arrows), [layers])
    (storey,) = drawn.storeys
    assert storey.floors == (("small.attic",), ("small.bell",), ("small.roof",), ("small.ground",))
    assert drawn.wrong == {("small.ground", "small.bell")}


def test_an_arrow_on_a_floor_that_allows_it_is_neither_wrong_nor_down(layers: Layers) -> None:
    drawn = plan(house(("small.stairs.a", "small.well.b")), [layers])
    assert drawn.arrows == {("small.stairs", "small.well")}
    assert not drawn.wrong | drawn.direct
    assert "small.stairs imports small.well" in draw(drawn)


def test_a_picture_shows_each_room_and_each_arrow_once(layers: Layers) -> None:
    drawn = drawn_up(layers)
    titles = [element.text for element in ElementTree.fromstring(draw(drawn)).iter() if element.tag.endswith("}title")]
    rooms = [room for storey in drawn.storeys for floor in storey.floors for room in floor]
    assert sorted(map(str, titles[1:])) == sorted([*rooms, *(f"{a} imports {b}" for a, b in drawn.arrows)])


@pytest.mark.slow
def test_a_picture_does_not_depend_on_the_order_of_sets(tmp_path: Path) -> None:
    for seed in ("1", "2", "3"):
        command = [sys.executable, "-m", "tests.house", "--draw", str(tmp_path / seed)]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_facts_are_printed_for_people_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json"])
    found = json.loads(capsys.readouterr().out)
    main([])
    text = capsys.readouterr().out
    for name in ("files", "rooms", "arrows"):
        assert str(found[name]) in text
    assert f"{found['longest']['module']}, {found['longest']['lines']} lines" in text
    assert all(module in text for ring in found["circles"] for module in ring)


def test_no_import_runs_upwards() -> None:
    found = read()
    assert [arrow for each in read_layers() for arrow in each.upward(found.imports)] == []


def test_no_modules_and_no_rooms_side_by_side_are_in_a_circle() -> None:
    assert circles_of_imports(read().imports) == []


def test_the_picture_in_docs_is_of_these_rooms(tmp_path: Path) -> None:
    main(["--draw", str(tmp_path / "rooms.svg")])
    same = (tmp_path / "rooms.svg").read_bytes() == PICTURE.read_bytes()
    assert same, "docs/rooms.svg is of other rooms or arrows: make it anew with python -m tests.house --draw"


def test_only_these_modules_import_others_by_name() -> None:
    """The import graph does not show such imports, so they stay below the importer's own package."""
    users = {path for name in PACKAGES for path in (ROOT / name).rglob("*.py") if BY_NAME.search(path.read_text())}
    assert {path.relative_to(ROOT).as_posix() for path in users} == {
        "enclave_sim/_lazy.py",
        "enclave_sim/cli/app.py",
        "enclave_sim/recording/exports/formats.py",
    }
