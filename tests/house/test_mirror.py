"""A test that is named after a file is in the place of that file."""

from pathlib import Path

from tests.house.reading import ROOT

PACKAGES = ("enclave_sim", "firmware", "machine", "payloads")
TESTS = sorted(path for package in PACKAGES for path in (ROOT / "tests" / package).rglob("test_*.py"))


def places_of(test: Path, root: Path = ROOT) -> list[Path]:
    """Return the folders of all files after which a test may be named: those in its room, and below it."""
    room = root / test.relative_to(root / "tests").parent
    return sorted(path.parent for path in room.rglob(f"{test.stem.removeprefix('test_')}.py"))


def test_a_test_is_where_the_only_file_of_its_name_is() -> None:
    assert len(TESTS) > 300
    only = {test: places[0] for test in TESTS if len(places := places_of(test)) == 1}
    moved = {test: ROOT / "tests" / place.relative_to(ROOT) / test.name for test, place in only.items()}
    assert [(str(test), str(right)) for test, right in moved.items() if test != right] == []


def test_files_of_a_name_are_found_in_a_room_and_below(tmp_path: Path) -> None:
    for place in ("house/door.py", "house/attic/door.py", "shed/door.py"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    found = places_of(tmp_path / "tests" / "house" / "test_door.py", tmp_path)
    assert found == [tmp_path / "house", tmp_path / "house" / "attic"]
