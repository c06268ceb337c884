"""Reports: text for people, JSON, and the exception of a broken guarantee."""

import pytest

from enclave_sim.guarantees import GuaranteeBroken, NoEvidence, Report
from enclave_sim.guarantees.report import Finding, hex_dump


def test_a_report_that_holds_is_one_line_and_its_picture() -> None:
    report = Report("isolated", (), {"runs": 2, "bytes": 7}, ("picture",))
    assert report.holds
    assert report.check() is report
    assert str(report) == "isolated: holds (runs 2, bytes 7)\n  picture"


def test_a_broken_one_shows_ten_findings_with_time_and_evidence() -> None:
    findings = [Finding("first", 5, ("a", "b")), *(Finding(f"finding {n}") for n in range(2, 13))]
    report = Report("zero-trace", tuple(findings), {"runs": 1})
    lines = str(report).splitlines()
    assert lines[:5] == ["zero-trace: BROKEN (runs 1)", "  first (at 5 ns)", "      a", "      b", "  finding 2"]
    assert lines[-2:] == ["  finding 10", "  and 2 more"]
    with pytest.raises(GuaranteeBroken) as caught:
        report.check()
    assert str(caught.value) == str(report)
    assert caught.value.report is report
    assert isinstance(caught.value, AssertionError)


def test_what_several_runs_show_is_shown_once() -> None:
    late, other = Finding("late", 5, ("a",)), Finding("other")
    lines = str(Report("x", (late, other, late), {"runs": 2})).splitlines()
    assert lines[1:] == ["  late (at 5 ns), 2 times", "      a", "  other"]


def test_ten_findings_are_all_there_are_to_show() -> None:
    report = Report("x", tuple(Finding(f"finding {n}", 0) for n in range(10)))
    assert str(report).splitlines()[-1] == "  finding 9 (at 0 ns)"


def test_json_has_everything() -> None:
    report = Report("x", (Finding("what", 5, ("line",)), Finding("more")), {"runs": 1})
    assert report.to_dict() == {
        "guarantee": "x",
        "holds": False,
        "no_evidence": "",
        "looked_at": {"runs": 1},
        "findings": [
            {"what": "what", "at_ns": 5, "evidence": ["line"]},
            {"what": "more", "at_ns": None, "evidence": []},
        ],
    }


def test_without_evidence_it_neither_holds_nor_is_broken() -> None:
    report = Report("x", (), {"runs": 1}, no_evidence="nobody looked")
    assert str(report) == "x: NO EVIDENCE (runs 1)\n  nobody looked"
    assert (report.holds, report.to_dict()["no_evidence"]) == (False, "nobody looked")
    with pytest.raises(NoEvidence):
        report.check()
    broken = Report("x", (Finding("what"),), {}, no_evidence="nobody looked")
    assert (broken.verdict, broken.to_dict()["no_evidence"]) == ("BROKEN", "")
    with pytest.raises(GuaranteeBroken) as caught:
        broken.check()
    assert type(caught.value) is GuaranteeBroken


def test_bytes_are_shown_sixteen_a_line_with_their_text() -> None:
    data = bytes(range(0x1E, 0x2F)) + b"~\x7f"
    assert hex_dump(0x1000, data) == (
        "0x00001000  1e 1f 20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d  .. !\"#$%&'()*+,-",
        "0x00001010  2e 7e 7f                                         .~.",
    )
    assert hex_dump(0, b"") == ()


@pytest.mark.parametrize(("size", "more"), [(64, 0), (65, 1), (200, 136)])
def test_what_is_left_out_is_counted(size: int, more: int) -> None:
    lines = hex_dump(0, bytes(size))
    assert len(lines) == 4 + bool(more)
    assert more == 0 or lines[-1] == f"... {more} bytes more"


def test_a_last_line_that_is_cut_by_the_limit_is_short() -> None:
    assert hex_dump(0, bytes(40), most=20) == (
        f"0x00000000  {'00 ' * 15}00  {'.' * 16}",
        f"0x00000010  {'00 00 00 00':<47}  ....",
        "... 20 bytes more",
    )
