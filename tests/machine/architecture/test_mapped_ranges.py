"""Mapped ranges agree with a page walk at each address."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.architecture.mapped_ranges import mapped_ranges
from machine.architecture.paging import Mode, SupervisorMemory, Translation
from machine.architecture.processor_state import ProcessorState
from machine.bus.ram import PAGE_SIZE, Ram

SIZE, ROOT = 1 << 18, 0x1000
PG, PSE, PAE, LMA, NXE = 1 << 31, 1 << 4, 1 << 5, 1 << 10, 1 << 11
MODES = {Mode.TWO_LEVEL: (PSE, 0), Mode.PAE: (PAE, 0), Mode.FOUR_LEVEL: (PAE, LMA | NXE)}


def state(mode: Mode, *, large: bool = True) -> ProcessorState:
    made = ProcessorState()
    made.cr[0], made.cr[3] = PG, ROOT
    made.cr[4], made.efer = MODES[mode]
    if not large:
        made.cr[4] &= ~PSE
    return made


def canonical(address: int) -> int:
    return address | 0xFFFF << 48 if address >> 47 & 1 else address


entries = st.tuples(
    st.sampled_from([0, 1, 255, 256, 510, 511]),
    st.sampled_from([0x2000, 0x3000, 0x4000, 0x5000, ROOT, SIZE]),
    st.sampled_from([0, 1, 3, 5, 7, 0x81, 0x87, 1 | 1 << 63, 1 | 1 << 52, 0xF7B, 0x2081, 1 | 1 << 40]),
)


@settings(max_examples=60)
@given(
    mode=st.sampled_from([*MODES]),
    large=st.booleans(),
    tables=st.lists(st.lists(entries, max_size=4), min_size=1, max_size=5),
    data=st.data(),
)
def test_the_ranges_are_what_walks_find(
    mode: Mode, large: bool, tables: list[list[tuple[int, int, int]]], data: st.DataObject
) -> None:
    ram, width = Ram(SIZE), 4 if mode is Mode.TWO_LEVEL else 8
    for table, content in enumerate(tables):
        pointers = mode is Mode.PAE and table == 0
        for index, address, bits in content:
            entry = (address | (bits & 1 if pointers else bits)) & (1 << 8 * width) - 1
            slot = ROOT + table * PAGE_SIZE + (index % 4 if pointers else index) * width
            ram.write(slot, entry.to_bytes(width, "little"))
    processor = state(mode, large=large)
    memory = SupervisorMemory(ram, processor)
    found = mapped_ranges(ram, processor)
    assert found is not None
    assert all(before.end <= after.start for before, after in pairwise(found))
    edges = [address for one in found for address in (one.start, one.end - PAGE_SIZE, one.end, one.start - PAGE_SIZE)]
    pages = st.integers(0, (1 << (32 if width == 4 or mode is Mode.PAE else 48)) // PAGE_SIZE - 1)
    anywhere = pages.map(lambda page: canonical(page * PAGE_SIZE))
    for address in data.draw(st.lists(st.sampled_from(edges) if edges else anywhere, max_size=20)):
        if address not in range(1 << (64 if mode is Mode.FOUR_LEVEL else 32)):
            continue
        walked = memory.look(address)
        covering = [one for one in found if one.start <= address < one.end]
        if walked is None or walked.reserved:
            assert covering == []
        else:
            assert [(one.user, one.writable) for one in covering] == [(walked.user, walked.writable)]


def test_without_paging_there_are_no_tables() -> None:
    assert mapped_ranges(Ram(SIZE), ProcessorState()) is None


@pytest.mark.parametrize("mode", [*MODES])
def test_tables_that_lead_back_to_themselves_come_to_an_end(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("machine.architecture.mapped_ranges._MAX_TABLES", 20)
    ram, width = Ram(SIZE), 4 if mode is Mode.TWO_LEVEL else 8
    for slot in range(ROOT, ROOT + PAGE_SIZE, width):
        ram.write(slot, (ROOT | 1).to_bytes(width, "little"))
    found = mapped_ranges(ram, state(mode))
    assert found is not None
    assert len(found) <= 1


def test_pages_with_the_same_rights_are_looked_up_once_for_each_table(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def look(memory: SupervisorMemory, address: int) -> Translation | None:
        looked.append(address)
        return real(memory, address)

    real = SupervisorMemory.look
    monkeypatch.setattr(SupervisorMemory, "look", look)
    monkeypatch.setattr("machine.architecture.mapped_ranges._MAX_TABLES", 20)
    ram = Ram(SIZE)
    for index in range(512):  # whatever software keeps in the bits that are its own, and whatever was accessed
        ram.write(
            ROOT + 8 * index,
            (ROOT | 1 | index % 8 << 9 | index << 52 & ~(1 << 63) | index % 4 << 5).to_bytes(8, "little"),
        )
    found = mapped_ranges(ram, state(Mode.FOUR_LEVEL))
    assert found is not None
    assert len(looked) <= 20
