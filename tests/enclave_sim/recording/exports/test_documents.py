"""docs/exports.md matches the program."""

from pathlib import Path

from enclave_sim.recording.exports import parquet
from enclave_sim.recording.exports.formats import Format
from enclave_sim.recording.exports.spans import Track

PAGE = (Path(__file__).parents[4] / "docs/exports.md").read_text()


def test_every_format_track_and_divided_column_is_named() -> None:
    assert [to for to in Format if f"| `{to.value}` | `{to.suffix}` |" not in PAGE] == []
    assert [track.value for track in Track if f"\n| {track.value} |" not in PAGE] == []
    types, places = parquet.columns()
    divided = {column for fields in places.values() for name, column in fields if name != column}
    assert [column for column in divided if f"`{column}`" not in PAGE] == []
    assert len(types) > len(divided) > 0
    assert f"row groups of {parquet.ROWS_IN_A_GROUP:,}" in PAGE
