"""The guest's position: shown automatically if that is quick, and otherwise by F."""

from time import perf_counter

import pytest

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.engine import shadow_guest
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.actions.steps import BY_NAME
from enclave_sim.inspector.model.event_log import EventLog
from enclave_sim.inspector.model.guest import find_guest, guest_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.session.sources import EnclaveSource, source_of
from enclave_sim.time_travel import Position
from tests.enclave_sim.conftest import signed
from tests.enclave_sim.inspector.driving import SIZES, Driven, Size, drive
from tests.enclave_sim.inspector.moments import moment_of

pytestmark = pytest.mark.slow  # each drives the whole program

SPINNER = source_of(("spinner",), EnclaveOptions.of(cycles=1))
ASK = "F finds the function it is in"
LATE = "35 ms"
"""A time after which the spinner's position is not shown automatically."""
NESTED = """(memory 1)
  (func $ask (param i32) (loop $again (block (br_if 0 (local.get 0)) (drop (call $get_status)))))
  (func $tick (param i32) (if (local.get 0) (then (call $tick (i32.sub (local.get 0) (i32.const 1))))
    (else (call $ask (local.get 0)))))
  (func $_start (export "_start") (call $tick (i32.const 3)) unreachable)"""
NAMELESS = '(memory 1) (func (call $shred_self)) (func (export "_start") (call 3))'


def rows_at(payload: bytes | str, event: str) -> list[str]:
    moment = moment_of(payload)
    moment.run.run_to(event=event)
    moment.follow()
    return [row.text for row in guest_view(moment).rows]


def test_function_calls_and_instructions_are_shown_in_this_order() -> None:
    assert rows_at(signed(NESTED), "host_called")[3:20] == [
        "in ask (function 3) at +0x9",
        "",
        "call stack, the innermost first",
        "  ask (function 3) at +0x9  module+0x7a",
        "  tick (function 4) at +0xf  module+0x90",
        "  tick (function 4) at +0xa  module+0x8b  3 times",
        "  _start (function 5) at +0x3  module+0x98",
        "instructions of ask (function 3)",
        "   000072 loop",
        "   000074   block",
        "   000076     local.get 0",
        "   000078     br_if 0",
        " > 00007a     call 0  get_status",
        "   00007c     drop",
        "   00007d   end",
        "   00007e end",
        "   00007f end",
    ]


def test_functions_without_a_name_are_reported_by_their_index() -> None:
    rows = rows_at(signed(NAMELESS), "host_called")
    assert rows[3].startswith("in function 3 at +0x1")
    assert any(text.startswith("  _start (function 4) at +0x1") for text in rows)


@pytest.mark.parametrize("event", ["guest_trapped", "guest_destroyed", "halted"])
def test_where_the_last_guest_trapped_stays_to_the_end(event: str) -> None:
    rows = rows_at(signed(NESTED), event)
    trapped = next(index for index, text in enumerate(rows) if text.startswith("in _start (function 5) at +0x5"))
    assert "trapped" in "".join(rows[:trapped])
    assert any(text.startswith(" > ") and text.endswith("unreachable") for text in rows)


@SIZES
def test_the_pane_shows_where_the_guest_is_at_its_first_host_call(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "5")
        rows = driven.rows("guest")
        assert any(text.startswith("in _start (function 1) at +") for text in rows)
        assert [text for text in rows if text.startswith(" > ")] == [" > 000065 call 0  emit_signal"]
        await driven.press("F")
        assert driven.said.startswith("in _start (function 1) at +")

    drive(script, size)


@SIZES
def test_f_finds_the_function_of_a_guest_that_has_computed_for_long_and_it_stays_there(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.pilot.press("g")
        await driven.type(LATE)
        await driven.press("5")
        asked = driven.standing.position
        assert any(ASK in text for text in driven.rows("guest"))
        await driven.press("F")
        assert driven.said.startswith("in _start (function 1) at +")
        assert any(text.startswith(" > ") and text.endswith("loop") for text in driven.rows("guest"))
        await driven.press("left_square_bracket")
        assert not any("_start" in text for text in driven.rows("guest"))
        await driven.pilot.press("g")
        await driven.type(LATE)
        assert driven.standing.position == asked
        assert any(text.startswith(" > ") for text in driven.rows("guest"))

    drive(script, size, SPINNER)


@SIZES
def test_escape_cancels_the_search_and_nothing_has_changed(monkeypatch: pytest.MonkeyPatch, size: Size) -> None:
    monkeypatch.setattr(shadow_guest, "CHECKPOINT_NS", 1)

    async def script(driven: Driven) -> None:
        await driven.pilot.press("g")
        await driven.type(LATE)
        await driven.press("5")
        here = driven.standing.position
        await driven.pilot.press("F")
        for _ in range(60_000):
            if driven.said.startswith("finding the guest's function ..."):
                break
            await driven.pilot.pause(0.005)
        await driven.press("escape")
        assert driven.said.startswith("cancelled finding the guest's function")
        assert driven.standing.position == here
        assert any(ASK in text for text in driven.rows("guest"))
        monkeypatch.undo()
        await driven.press("F")
        assert driven.said.startswith("in _start")
        assert driven.standing.position == here

    drive(script, size, source=SPINNER)


@SIZES
@pytest.mark.parametrize(
    "source", [SPINNER, source_of(("surveyor",), EnclaveOptions.of(engine="native"))], ids=["early", "flat"]
)
def test_f_says_where_there_is_nothing_to_find(source: EnclaveSource, size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("5", "F")
        assert driven.said == "no guest is running now"

    drive(script, size, source=source)


def test_stops_in_the_same_place_of_the_guest_ask_once() -> None:
    moment = moment_of("counter")
    moment.run.run_to(event="host_called")
    moment.follow()
    for _ in range(20):
        guest_view(moment)
        moment.run.step()
        moment.follow()
    assert len(moment.backtraces) == 1


@pytest.mark.speed
def test_what_is_shown_by_itself_takes_no_longer_than_a_million_additions() -> None:
    """25 ms on a typical host."""
    moment = moment_of("spinner")
    moment.run.run_to(at_ns=15_000_000)
    moment.follow()
    find_guest(moment)  # setup that is done once
    times, references = [], []
    for _ in range(5):
        moment.backtraces.clear()
        begun = perf_counter()
        rows = guest_view(moment).rows
        times.append(perf_counter() - begun)
        assert any(one.text.startswith(" > ") for one in rows)
        begun, total = perf_counter(), 0
        for number in range(1_000_000):
            total += number
        references.append(perf_counter() - begun)
    assert min(times) < min(references)
    assert moment.run.now > Position(0)


@SIZES
def test_what_a_payload_calls_its_parts_reaches_the_terminal_as_text_only(size: Size) -> None:
    name = "\x1b[2J\x9b\r\nred\x07"
    module = signed(f'(memory 1) (func $f (export "_start") (call $shred_self)) (@custom "{_escaped(name)}" "x")')

    async def script(driven: Driven) -> None:
        await driven.press("h", "5", "end")
        assert any(name in text for text in driven.rows("guest"))
        drawn = "".join(
            pane.render_line(y).text for pane in driven.app.desk.panes for y in range(pane.content_size.height)
        )
        assert "\\x1b[2J\\x9b\\r\\nred\\x07" in drawn
        assert drawn.isprintable()
        driven.app.desk.say(f"a {name} that failed", failed=True)
        await driven.settle()
        assert driven.said == "! a \\x1b[2J\\x9b\\r\\nred\\x07 that failed"

    drive(script, size, source=EnclaveSource((module,), EnclaveOptions.of(cycles=1)))


def _escaped(name: str) -> str:
    return "".join(f"\\{byte:02x}" for byte in name.encode())


def test_a_resident_guest_is_shown_from_the_memory_of_the_machine() -> None:
    opened = EnclaveSource(("counter",), EnclaveOptions.of(engine="resident")).open(Cancellation())
    moment = Moment(opened, EventLog(opened.run.known, opened.run.cancellation))

    def shown() -> list[str]:
        moment.follow()
        return [row.text for row in guest_view(moment).rows]

    moment.run.run_to(event="host_called")
    waiting = shown()
    assert waiting[0] == "payload 0, _start (function 1) at +0x13: waits for the answer to call 0"
    assert waiting[3] == "globals   i32 0x8000, i32 0x0"
    assert any(text.startswith(" > ") and text.endswith("call 0  emit_signal") for text in waiting)
    assert [text.split(" at ")[0] for text in waiting if text.startswith(("linear", "values", "calls"))] == [
        "linear memory 65,536 bytes",
        "values",
        "calls",
    ]
    BY_NAME["wasm"].go(moment.run)
    assert shown()[0] == "payload 0, _start (function 1) at +0x15: next global.get 1"
    BY_NAME["back_wasm"].go(moment.run)
    assert shown()[0] == "payload 0, _start (function 1) at +0x13: next call 0"
    BY_NAME["wasm_over"].go(moment.run)
    BY_NAME["back_wasm_over"].go(moment.run)
    assert shown()[0] == "payload 0, _start (function 1) at +0x13: next call 0"
    moment.run.run_to(event="signal_emitted")
    moment.run.step_out()
    moment.run.run_to(event="guest_destroyed")
    assert shown()[0] == "there is no guest now"
