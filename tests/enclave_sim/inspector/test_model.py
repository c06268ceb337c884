"""The panes show the machine's state, and showing it changes nothing."""

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware
from enclave_sim import Enclave
from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.model import bits
from enclave_sim.inspector.model.event_log import EventFilter, EventLog, event_filter, event_view
from enclave_sim.inspector.model.guarantees import Verification, checks, guarantee_view
from enclave_sim.inspector.model.guest import guest_state, guest_view
from enclave_sim.inspector.model.machine.address_space import address_space_view
from enclave_sim.inspector.model.machine.code import code_view
from enclave_sim.inspector.model.machine.devices import device_view
from enclave_sim.inspector.model.machine.disassembly import disassembly
from enclave_sim.inspector.model.machine.hexadecimal import bytes_view
from enclave_sim.inspector.model.machine.memory import memory_view, region_states
from enclave_sim.inspector.model.machine.registers import register_values, register_view
from enclave_sim.inspector.model.machine.stack import open_frames, stack_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.phases import phase_marks, phase_view
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.model.status import standing
from enclave_sim.inspector.model.strip import strip_view
from enclave_sim.inspector.model.tables import table_view
from enclave_sim.inspector.session.sources import source_of
from enclave_sim.memory_map import region, regions
from enclave_sim.recording.query import select
from enclave_sim.specification import Phase
from enclave_sim.time_travel.position import NoSuchPosition
from tests.enclave_sim.inspector.driving import RESIDENT

VIEWS: dict[str, Callable[[Moment], View]] = {
    "phases": phase_view,
    "registers": register_view,
    "code": code_view,
    "guest": guest_view,
    "stack": stack_view,
    "memory": memory_view,
    "bytes": bytes_view,
    "tables": table_view,
    "devices": device_view,
    "events": lambda moment: event_view(moment.log, moment.seen, EventFilter()),
    "space": address_space_view,
    "strip": lambda moment: strip_view(moment, 78),
    "guarantees": lambda moment: guarantee_view(moment, Verification()),
}


def moment_of(*what: str, **options: Any) -> Moment:
    """A run at its beginning."""
    opened = source_of(what or ("counter",), EnclaveOptions.of(**{"cycles": 2, **options})).open(Cancellation())
    return Moment(opened, EventLog(opened.run.known, opened.run.cancellation))


def _activity(moment: Moment) -> str:
    moment.follow()
    return standing(moment).activity


@pytest.fixture(scope="module")
def shared() -> Moment:
    moment = moment_of()
    moment.run.resume()
    moment.follow()
    return moment


@settings(max_examples=25)
@given(at=st.floats(0, 1))
def test_every_view_can_be_made_at_any_moment(shared: Moment, at: float) -> None:
    run = shared.run
    end = run.known[-1].at_ns
    goal = int(end * at)
    if goal != run.now.at_ns:
        (run.reverse_to if goal < run.now.at_ns else run.run_to)(at_ns=goal)
    for name, make in VIEWS.items():
        view = make(shared)
        assert len(view.rows), name
        assert all(row.text.isprintable() for row in view.rows), name
        assert view.here is None or 0 <= view.here < len(view.rows), name


@pytest.mark.slow
def test_to_look_at_everything_after_every_event_does_not_change_the_run() -> None:
    moment = moment_of("counter")
    with suppress(NoSuchPosition):  # at the end of the run
        while True:
            moment.run.next_event(lambda _: True)
            moment.follow()
            for make in VIEWS.values():
                assert make(moment).rows
    assert moment.run.at_end
    fresh = Enclave("counter", cycles=2)
    fresh.run()
    assert fresh.recording is not None
    assert fresh.recording.events == moment.run.known  # the residue scan included
    ours, theirs = moment.machine.ram, fresh.machine.ram
    assert ours.read(0, ours.size) == theirs.read(0, theirs.size)


@pytest.mark.slow
@pytest.mark.parametrize("what", [("beacon",), ("shredder",), ("trespasser",), ("divider",), ("greedy",), ("spinner",)])
def test_every_view_can_be_made_at_the_end_of_any_run(what: tuple[str, ...]) -> None:
    moment = moment_of(*what)
    moment.run.resume()
    moment.follow()
    assert phase_marks(moment).endswith("+DORMANT")
    for make in VIEWS.values():
        assert make(moment).rows
    assert moment.enclave is not None
    assert {one.what for one in checks(moment, moment.enclave) if one.faults} == set()


def test_guarantees_in_ring_0_say_what_was_judged_and_when() -> None:
    moment = moment_of()
    assert moment.enclave is not None
    assert not any(one.judged for one in checks(moment, moment.enclave))
    moment.run.run_to(event="wake_scheduled")
    moment.follow()
    assert moment.machine.cpu.registers.cpl == 0
    found = {one.what: one.looked_at for one in checks(moment, moment.enclave) if one.judged}
    assert found["the architecture is locked"] == "IDT, GDT, TSS, CR0, CR4, EFER; now, ring 0"
    assert found["page tables are sound"].endswith(", now")
    assert found["every scrub left zeros"].endswith(" ns")


def test_a_phase_says_that_its_target_state_is_reached_not_before_it_is() -> None:
    moment = moment_of()
    for phase in Phase:
        moment.run.next_phase()
        moment.follow()
        rows = [row.text for row in phase_view(moment).rows[:4]]
        assert [row[0] for row in rows] == ["+" if other <= phase else "." for other in Phase]
        assert rows[phase - 1].endswith(f"{phase.target_state} reached")
    assert [row.text.split("  ")[0] for row in phase_view(moment).rows[4:5]] == ["> running: cycle 0"]
    moment.run.run_to(event="wake_scheduled")
    assert _activity(moment) == "asleep"
    moment.run.run_to(event="annihilation_began")
    assert _activity(moment) == ""
    for _ in range(2):
        moment.run.reverse_to(event="phase_completed")
    assert _activity(moment) == ""
    assert phase_view(moment).rows[3].text.startswith(". 04")
    moment.run.next_event(lambda _: True)
    assert phase_view(moment).rows[3].text.startswith("> 04")


def test_registers_mark_what_changed_and_say_what_it_was() -> None:
    moment = moment_of()
    moment.run.run_to(symbol="host_call")
    before = register_values(moment.run)
    moment.run.step()
    moment.registers_before = before
    now = register_values(moment.run)
    marked = {row.text.split()[0] for row in register_view(moment).rows if " *" in row.text}
    assert marked == {name for name in now if now[name] != before[name]}
    assert f"was {before['RSP']:x}" in "\n".join(row.text for row in register_view(moment).rows)


@pytest.mark.parametrize("symbol", ["host_call", "annihilate", "gate", "host_call_entry", "tpm_execute"])
def test_a_disassembly_has_an_instruction_exactly_where_it_was_asked_for(shared: Moment, symbol: str) -> None:
    shared.run.go_to_event(50)
    address = firmware.built_in().symbols[symbol]
    found = list(disassembly(shared.machine, shared.program, address))
    assert address in [one.address for one in found]
    for first, second in pairwise(found):
        assert second.address == first.address + len(first.data) or second.address == address
    ram = shared.machine.ram
    assert all(ram.read(one.address, len(one.data)) == one.data for one in found)


def test_the_frame_of_a_host_call_is_decoded_while_it_is_handled_and_gone_afterwards() -> None:
    moment = moment_of()
    moment.run.run_to(symbol="host_call")
    moment.follow()
    (frame,) = open_frames(moment)
    assert (frame.vector, frame.source, frame.error_code) == (0x80, "software", None)
    text = "\n".join(row.text for row in stack_view(moment).rows)
    assert "RIP        gate" in text
    assert "GDT[4] RPL 3" in text
    moment.run.next_transition()
    moment.follow()
    assert open_frames(moment) == []


def test_the_frame_of_a_page_fault_has_its_error_code_in_words() -> None:
    moment = moment_of("trespasser", cycles=1)
    moment.run.run_to(event="interrupt_delivered", when=lambda event: event.vector == 14)
    moment.follow()
    rows = [row.text for row in stack_view(moment).rows]
    assert any("error code" in text and "user" in text for text in rows)


def test_an_empty_stack_is_no_unmapped_one() -> None:
    moment = moment_of()
    moment.run.next_transition()
    moment.follow()
    view = stack_view(moment)
    assert [row.text for row in view.rows] == ["the stack is empty: RSP, 0x17d000, is its end"]
    assert view.subtitle == "guest_stack"


def test_stack_and_phases_name_a_vector_alike() -> None:
    moment = moment_of("trespasser", cycles=1)
    moment.run.run_to(event="interrupt_delivered", when=lambda event: event.vector == 14)
    moment.follow()
    assert "(#PF page fault) is being handled" in stack_view(moment).rows[0].text
    moment.run.run_to(event="annihilation_began")
    moment.follow()
    assert any(row.text.endswith("#PF page fault") for row in phase_view(moment).rows)


def test_regions_are_dirty_while_in_use_scrubbed_afterwards_and_locked_from_prot_entry_on() -> None:
    moment = moment_of()
    assert not any(state.locked for state in region_states(moment))
    moment.run.run_to(event="host_called")
    moment.follow()
    states = {state.region.name: state for state in region_states(moment)}
    assert states["heap"].words == "dirty, locked"
    assert states["irq_stack"].words == "scrubbed, locked"
    assert states["text"].words == "image, locked"
    assert all(state.rights == state.region.rights for state in states.values() if state.region.name not in RESIDENT)
    moment.run.run_to(event="cycle_ended")
    moment.follow()
    assert {s.region.name: s for s in region_states(moment)}["heap"].words.startswith("scrubbed")


def test_the_heat_map_has_a_mark_for_every_page_of_every_region() -> None:
    moment = moment_of()
    moment.run.run_to(event="host_called")
    moment.follow()
    rows = memory_view(moment).rows
    start = next(index for index, row in enumerate(rows) if row.text == "pages")
    marks = {}
    for row in rows[start + 2 :]:
        if row.text.startswith("  ") and row.target.memory is not None and "use" not in row.text:
            marks[row.target.memory] = row.parts[-1][0]
    assert sum(map(len, marks.values())) == sum(one.size for one in regions()) // 4096
    used = set(moment.machine.ram.nonzero_pages())
    for base, text in marks.items():
        for index, mark in enumerate(text):
            assert (mark in ".o") == (base + 4096 * index not in used)


def test_bytes_are_those_in_ram_and_rows_that_changed_are_marked(shared: Moment) -> None:
    moment = moment_of()
    moment.run.run_to(event="guest_instantiated")
    base = region("call_stack").base
    first = bytes_view(moment, base)
    assert len(first.rows) == region("call_stack").size // 16
    data = moment.machine.ram.read(base, region("call_stack").size)
    assert all(row.text[10:58].replace(" ", "") == data[16 * i : 16 * i + 16].hex() for i, row in enumerate(first.rows))
    moment.run.run_to(symbol="host_call")
    second = bytes_view(moment, base)
    now = moment.machine.ram.read(base, region("call_stack").size)
    changed = {i for i in range(len(second.rows)) if now[16 * i : 16 * i + 16] != data[16 * i : 16 * i + 16]}
    assert changed
    assert {i for i, row in enumerate(second.rows) if row.text[9] == "*"} == changed


def test_the_guest_is_suspended_in_its_host_call_and_its_fuel_is_the_engines() -> None:
    moment = moment_of()
    assert guest_state(moment) is None
    moment.run.run_to(event="host_called")
    moment.follow()
    state = guest_state(moment)
    assert state is not None
    assert state.waits
    assert "suspended in aether." in guest_view(moment).rows[0].text
    native = moment_of("surveyor", engine="native", cycles=1)
    assert "flat x86-64 binary" in guest_view(native).rows[0].text


@given(
    kinds=st.sets(st.sampled_from(["scrubbed", "ring_transition", "host_called", "halted"])), seen=st.integers(0, 400)
)
def test_a_filter_shows_exactly_the_events_that_a_query_selects(shared: Moment, kinds: set[str], seen: int) -> None:
    events = shared.log.events
    wanted = event_filter(" ".join(sorted(kinds)))
    expected = list(select(events[:seen], kind=sorted(kinds) or None))
    places = shared.log.places(wanted, min(seen, len(events)))
    assert [events[place] for place in places] == expected


@given(value=st.integers(0, 2**32 - 1))
def test_bits_in_words_lose_no_bit(value: int) -> None:
    for names in (bits.CR0, bits.CR4, bits.EFER, bits.RFLAGS):
        back = {name: bit for bit, name in names.items()}
        words = bits.names_of(value, names)
        assert sum(1 << (back[word] if word in back else int(word.removeprefix("bit "))) for word in words) == value
