"""Code: one syntax everywhere, and a search in the whole program."""

import re

import pytest

from enclave_sim.inspector.desk import Desk
from enclave_sim.inspector.model.machine.code import code_view, find_code
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.syntax import Syntax
from tests.enclave_sim.inspector.driving import SIZES, Driven, Size, drive
from tests.enclave_sim.inspector.moments import moment_of

ATT = re.compile(r"%[a-z]|\$[A-Z0-9]")


@pytest.fixture(scope="module")
def moment() -> Moment:
    found = moment_of("counter")
    found.run.run_to(event="host_called")
    return found


@pytest.mark.parametrize("symbol", ["gate", "host_call", "fall_dormant", "return_to_guest"])
def test_in_the_syntax_of_intel_nothing_of_att_is_left_and_the_other_way_round(moment: Moment, symbol: str) -> None:
    at = moment.program.symbols[symbol]
    rows = {syntax: [row.text for row in code_view(moment, at, syntax).rows] for syntax in Syntax}
    instructions = {syntax: [text for text in rows[syntax] if re.match(r"..00[0-9a-f]{6} ", text)] for syntax in rows}
    assert not [text for text in rows[Syntax.INTEL] if ATT.search(re.sub(r"/\*.*", "", text))]
    assert len(instructions[Syntax.INTEL]) == len(instructions[Syntax.ATT]) > 0
    assert any("%" in text for text in instructions[Syntax.ATT])
    assert not any("[" in text for text in instructions[Syntax.ATT])


def test_jumps_and_symbols_are_known_in_either_syntax(moment: Moment) -> None:
    for syntax in Syntax:
        rows = code_view(moment, moment.program.symbols["gate"], syntax).rows
        jump = next(row for row in rows if "jrcxz" in row.text and row.target.jump is not None)
        assert jump.target.jump == moment.program.symbols["gate"] - 2


@pytest.mark.slow
def test_the_whole_program_is_searched_from_the_cursor_on_and_around(moment: Moment) -> None:
    met: list[int] = []
    at = 0
    while len(met) < 2 or met[-1] != met[0]:
        found = find_code(moment, "IRETQ", at, 1, Syntax.INTEL)
        assert found is not None
        met.append(found)
        at = found
    assert 3 <= len(met[:-1]) < 10
    assert met[:-1] == sorted(set(met[:-1]))
    assert find_code(moment, "iretq", met[0], -1, Syntax.INTEL) == met[-2]
    assert find_code(moment, "host_call:", 0, 1, Syntax.INTEL) == moment.program.symbols["host_call"]
    assert find_code(moment, "no such text", 0, 1, Syntax.INTEL) is None


@pytest.mark.slow
@SIZES
def test_slash_in_code_finds_what_is_far_from_rip_and_y_changes_the_syntax(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("4")
        await driven.pilot.press("slash")
        await driven.type("iretq")
        pane = driven.app.desk.pane
        assert pane.row_at(pane.cursor).text.rstrip().endswith(("iretq", "mov     ss, ecx"))  # its comment names it
        assert driven.said.startswith("'iretq': 0x")
        first = pane.target.code
        await driven.press("n")
        assert pane.target.code != first
        await driven.press("N")
        assert pane.target.code == first
        await driven.press("y")
        assert any("%rsp" in text for text in driven.rows("code"))
        await driven.press("full_stop")
        assert driven.rows("code")[driven.app.desk.pane.cursor].startswith(" >")

    drive(script, size)


@pytest.mark.slow
def test_a_search_in_code_says_what_it_does_and_finds_and_shows_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enclave_sim.inspector.threads.session_thread._PROGRESS_S", 0)
    said: list[str] = []
    say = Desk.say

    def keep(desk: Desk, words: str, *, failed: bool = False) -> None:
        said.append(words)
        say(desk, words, failed=failed)

    monkeypatch.setattr(Desk, "say", keep)

    async def script(driven: Driven) -> None:
        await driven.press("4")
        said.clear()
        await driven.pilot.press("slash")
        await driven.type("no such text")
        assert driven.said == "! 'no such text' is not in Code, in the whole program; nothing has moved"
        assert "searching ...; Escape cancels" in said
        assert not [words for words in said if "reached" in words]

    drive(script)
