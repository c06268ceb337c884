"""The picture of a timeline: positions to the pixel, and parts too small for labels."""

import re
from decimal import Decimal
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.recording.exports.picture.lanes import SHOWN_SINGLY, Span, TimeWindow
from enclave_sim.recording.exports.picture.svg import draw
from enclave_sim.recording.exports.spans import Track

NS_PER_PIXEL = 10
WHOLE_NS = 844 * NS_PER_PIXEL
"""The lanes are 844 pixels wide, from 104 to 948."""


def window(*spans: Span, track: Track = Track.PHASES, start_ns: int = 0, end_ns: int = WHOLE_NS) -> TimeWindow:
    found = TimeWindow(start_ns)
    found.end_ns = end_ns
    for span in spans:
        lanes = found.instants if span.begin_ns == span.end_ns else found.spans
        lanes[track].add(span)
    return found


def elements(picture: str, tag: str) -> list[dict[str, str]]:
    """The attributes of all elements of a kind, with their text."""
    tree = ElementTree.fromstring(picture)
    return [
        {**one.attrib, "text": " ".join("".join(one.itertext()).split())}
        for one in tree.iter(f"{{http://www.w3.org/2000/svg}}{tag}")
    ]


@pytest.mark.parametrize("letters", [1, 2, 5, 10])
@pytest.mark.parametrize("place_ns", [0, 1000])
def test_a_name_is_shown_where_there_is_room_for_its_letters(letters: int, place_ns: int) -> None:
    """A letter takes 6.2 pixels, the margins 6."""
    needed_ns = round((6.2 * letters + 6) * NS_PER_PIXEL)
    for width_ns, shown in ((needed_ns - 1, False), (needed_ns, False), (needed_ns + 1, True)):
        picture = draw(window(Span(place_ns, place_ns + width_ns, "m" * letters)), "")
        labels = [one for one in elements(picture, "text") if one["text"] == "m" * letters]
        assert len(labels) == shown, width_ns
        if shown:
            assert (float(labels[0]["x"]), labels[0]["y"]) == (104 + place_ns / NS_PER_PIXEL + 3, "18")


@pytest.mark.parametrize(("begin_ns", "end_ns", "x", "width"), [
    (0, WHOLE_NS, 104.0, 844.0), (0, 1, 104.0, 0.5), (0, 5, 104.0, 0.5), (0, 6, 104.0, 0.6), (40, 100, 108.0, 6.0),
    (WHOLE_NS - 1, WHOLE_NS, 947.9, 0.5),
])  # fmt: skip
def test_a_span_is_as_wide_as_it_lasts_and_never_less_than_half_a_pixel(
    begin_ns: int, end_ns: int, x: float, width: float
) -> None:
    (box,) = elements(draw(window(Span(begin_ns, end_ns, "a")), ""), "rect")
    assert (float(box["x"]), float(box["width"]), box["y"], box["height"]) == (x, width, "4", "20")
    assert box["text"] == f"a: {begin_ns:,} to {end_ns:,} ns"


def test_a_lane_has_its_title_and_its_line_and_each_lane_is_below_the_other() -> None:
    found = window(Span(0, 100, "a"), Span(7, 7, "b"), track=Track.CYCLES)
    found.spans[Track.GUEST].add(Span(5, 9, "c"))
    found.instants[Track.INPUTS].add(Span(WHOLE_NS, WHOLE_NS, "d"))
    picture = draw(found, "a <title>")
    (whole,) = elements(picture, "svg")
    assert whole["viewBox"] == f"0 0 960 {4 + 3 * 26 + 22}"
    assert whole["text"].startswith("a <title>")
    titles = [(one["text"], one["x"], one["y"]) for one in elements(picture, "text") if one.get("x") == "96"]
    assert titles == [("Cycles", "96", "18"), ("Guest", "96", "44"), ("Inputs", "96", "70")]
    lines = [one["d"] for one in elements(picture, "path") if one["stroke"] == "#bbb"]
    assert lines == ["M104 24H948", "M104 50H948", "M104 76H948"]
    instants = [(one["d"], one["text"]) for one in elements(picture, "path") if one["stroke"] == "#111"]
    assert instants == [("M104.7 4v20", "b: 7 ns"), ("M948.0 56v20", f"d: {WHOLE_NS:,} ns")]


@pytest.mark.parametrize(("start_ns", "end_ns", "ticks"), [
    (0, WHOLE_NS, {0: "0 µs", 2000: "2 µs", 4000: "4 µs", 6000: "6 µs", 8000: "8 µs"}),
    (1000, 1007, {at: f"{at:,} ns" for at in range(1000, 1008)}),
    (5, 5, {5: "5 ns", 6: "6 ns"}),
    (0, 3_015_207, {at * 500_000: f"{at / 2:.1f} ms" for at in range(7)}),
    (1_374_385, 1_523_985, {at * 1000: f"{at:,} µs" for at in (1380, 1400, 1420, 1440, 1460, 1480, 1500, 1520)}),
])  # fmt: skip
def test_the_axis_has_round_numbers_in_a_readable_unit(start_ns: int, end_ns: int, ticks: dict[int, str]) -> None:
    picture = draw(window(start_ns=start_ns, end_ns=end_ns), "")
    labels = elements(picture, "text")
    assert [one["text"] for one in labels] == list(ticks.values())
    assert {one["y"] for one in labels} == {"21"}
    lasts = max(end_ns, start_ns + 1) - start_ns
    places = [round(104 + (tick - start_ns) / lasts * 844, 2) for tick in ticks]
    assert [float(one["x"]) for one in labels] == places
    assert [one["d"] for one in elements(picture, "path")] == [f"M{place}{' 4V8'}" for place in places]
    anchors = ["start" if place < 134 else "end" if place > 918 else "middle" for place in places]
    assert [one["text-anchor"] for one in labels] == anchors


@given(start_ns=st.integers(0, 1 << 50), length_ns=st.integers(1, 1 << 50))
def test_any_axis_has_a_few_ticks_at_the_same_distance_1_2_or_5_times_a_power_of_ten(
    start_ns: int, length_ns: int
) -> None:
    labels = elements(draw(window(start_ns=start_ns, end_ns=start_ns + length_ns), ""), "text")
    assert 2 <= len(labels) <= 9 or length_ns == 1
    units = {"ns": 1, "µs": 10**3, "ms": 10**6, "s": 10**9}
    times = [Decimal(number.replace(",", "")) * units[unit] for number, unit in (one["text"].split() for one in labels)]
    steps = {later - time for time, later in pairwise(times)}
    assert len(steps) == 1
    assert str(steps.pop().normalize().as_tuple().digits) in ("(1,)", "(2,)", "(5,)")


def test_many_spans_are_drawn_as_the_share_of_time_that_they_cover() -> None:
    spans = [Span(2 * n, 2 * n + 1, "a") for n in range(SHOWN_SINGLY + 1)]
    (bars,) = [one for one in elements(draw(window(*spans, end_ns=192), ""), "path") if one["stroke"] == "#333"]
    assert bars["text"] == "65 times; each bar is 1 ns"
    first, second, *_, last = re.findall(r"M[^z]*z", bars["d"])
    assert (first, second) == ("M104.0 24v-20.0H108.4v20.0z", "M112.79 24v-20.0H117.19v20.0z")
    assert last == "M666.67 24v-20.0H671.06v20.0z"
    assert len(re.findall("M", bars["d"])) == 65


def test_many_instants_are_drawn_as_their_relative_frequency_and_a_bar_has_half_a_pixel() -> None:
    spans = [Span(0, 0, "a")] * 100 + [Span(5, 5, "a")] * 50 + [Span(10, 10, "a")]
    (bars,) = [one for one in elements(draw(window(*spans, end_ns=20), ""), "path") if "fill-opacity" in one]
    assert bars["text"] == "151 times; each bar is 1 ns"
    heights = re.findall(r"v-([0-9.]+)H", bars["d"])
    assert heights == ["20.0", "10.0", "0.5"]


def test_the_last_bar_ends_with_the_window() -> None:
    spans = [Span(n, n, "a") for n in range(200)]
    (bars,) = [one for one in elements(draw(window(*spans, end_ns=199), ""), "path") if "fill-opacity" in one]
    assert bars["text"] == "200 times; each bar is 2 ns"
    assert bars["d"].count("M") == 100
    assert re.findall(r"H([0-9.]+)v", bars["d"])[-1] == "948.0"
