"""The audit of page tables, on tables built for the test."""

import struct

import msgspec
import pytest

from enclave_sim.guarantees.watchers import page_tables
from enclave_sim.guarantees.watchers.isolation import IsolationWatcher
from enclave_sim.guarantees.watchers.page_tables import Mapping, faults, mappings
from enclave_sim.memory_map import region
from machine.bus.ram import PAGE_SIZE, Ram
from machine.machine import Machine

P, W, U, LARGE, NX = 1, 2, 4, 1 << 7, 1 << 63
CR3, PDPT, PD, PT = 0x20_0000, 0x20_1000, 0x20_2000, 0x20_3000
RAM = 16 << 20


def tables(*entries: tuple[int, int], rights: tuple[int, int, int] = (P | W | U,) * 3) -> Ram:
    """Four levels, with these entries (index, value) in the last; `rights` apply to the levels above."""
    ram = Ram(RAM)
    for table, following, bits in zip((CR3, PDPT, PD), (PDPT, PD, PT), rights, strict=True):
        ram.write(table, struct.pack("<Q", following | bits))
    for index, value in entries:
        ram.write(PT + 8 * index, struct.pack("<Q", value))
    return ram


def test_a_page_is_mapped_with_its_place_and_rights() -> None:
    ram = tables((1, 0x12_3000 | P | W | U), (511, 0x45_6000 | P | NX))
    assert list(mappings(ram, CR3)) == [
        Mapping(0x1000, 0x12_3000, 4096, writable=True, user=True, executable=True),
        Mapping(0x1F_F000, 0x45_6000, 4096, writable=False, user=False, executable=False),
    ]
    assert [str(page) for page in mappings(ram, CR3)] == [
        "0x1000 -> 0x123000, 4 KiB, wxu",
        "0x1ff000 -> 0x456000, 4 KiB, --s",
    ]


@pytest.mark.parametrize("level", range(3))
def test_rights_are_those_that_every_level_grants(level: int) -> None:
    """SDM volume 3, 4.6: W and U must be set in every entry, NX in one."""
    full = P | W | U
    for taken, wanted in ((W, (False, True, True)), (U, (True, False, True))):
        rights = tuple(full & ~taken if at == level else full for at in range(3))
        (page,) = mappings(tables((1, 0x12_3000 | full), rights=rights), CR3)  # type: ignore[arg-type]
        assert (page.writable, page.user, page.executable) == wanted
    rights = tuple(full | NX if at == level else full for at in range(3))
    (page,) = mappings(tables((1, 0x12_3000 | full), rights=rights), CR3)  # type: ignore[arg-type]
    assert (page.writable, page.user, page.executable) == (True, True, False)


@pytest.mark.parametrize(("table", "shift"), [(PD, 21), (PDPT, 30)])
def test_a_large_page_ends_the_walk(table: int, shift: int) -> None:
    ram = tables((1, 0x12_3000 | P))
    ram.write(table + 8 * 3, struct.pack("<Q", 5 << shift | 0x1000 | P | LARGE))
    large = [page for page in mappings(ram, CR3) if page.size > 4096]
    assert large == [Mapping(3 << shift, 5 << shift, 1 << shift, writable=False, user=False, executable=True)]


def test_what_is_not_present_maps_nothing() -> None:
    assert list(mappings(tables((1, 0x12_3000 | W | U)), CR3)) == []


def test_cr3_has_flags_that_are_no_part_of_the_address() -> None:
    assert list(mappings(tables((1, 0x12_3000 | P)), CR3 | 0x18)) == list(mappings(tables((1, 0x12_3000 | P)), CR3))


@pytest.mark.parametrize("table", [RAM, RAM - 0x800 & -0x1000 | 0x1000, 0x000F_FFFF_FFFF_F000])
def test_a_table_outside_of_ram_maps_nothing(table: int) -> None:
    ram = tables((1, 0x12_3000 | P))
    ram.write(PDPT + 8, struct.pack("<Q", table | P | W | U))
    assert len(list(mappings(ram, CR3))) == 1
    assert list(mappings(ram, table)) == []


def test_the_last_page_of_ram_can_be_a_table() -> None:
    ram = tables((1, 0x12_3000 | P))
    ram.write(RAM - 0x1000, struct.pack("<Q", 0x45_6000 | P))
    ram.write(PD + 8, struct.pack("<Q", RAM - 0x1000 | P))
    assert [page.physical for page in mappings(ram, CR3)] == [0x12_3000, 0x45_6000]


HEAP, DATA, TEXT, STAGING = (region(name).base for name in ("heap", "data", "text", "staging"))
FREE, HEAP_END = 0x30_0000, region("heap").end


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (HEAP | P | W | U | NX, None),
        (region("gate").base | P | U, None),
        (DATA | P | W | NX, None),
        (TEXT | P, None),
        (HEAP | P | W | U, "writable and executable: "),
        (FREE | P | W, "writable and executable: "),
        (DATA | P | U | NX, "ring 3 reaches data: "),
        (FREE | P | U | NX, "ring 3 reaches what is not its own: "),
        (TEXT | P | W | NX, "the measured image can be written: "),
        (STAGING | P | U, "ring 3 reaches staging: "),
    ],
)
def test_each_page_is_held_to_the_memory_map(entry: int, what: str | None) -> None:
    ram = tables((1, entry))
    (page,) = mappings(ram, CR3)
    assert faults(ram, CR3, ()) == ([] if what is None else [f"{what}{page}"])


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (STAGING | P | U, []),
        (STAGING | P | W | U | NX, ["a guest can write its own code: "]),
        (STAGING | P | W | NX, []),
        (STAGING | P | W | U, ["writable and executable: ", "a guest can write its own code: "]),
        (DATA | P | U | NX, ["ring 3 reaches data: "]),
    ],
)
def test_a_flat_guest_executes_in_staging_and_must_not_write_there(entry: int, what: list[str]) -> None:
    ram = tables((1, entry))
    (page,) = mappings(ram, CR3)
    assert faults(ram, CR3, [region("staging")]) == [f"{each}{page}" for each in what]


@pytest.mark.parametrize(("size", "entry"), [(PAGE_SIZE, P), (1 << 21, P | LARGE)])
def test_the_last_page_of_the_guests_heap_is_within_it(size: int, entry: int) -> None:
    ram = tables((1, (HEAP_END - PAGE_SIZE) | P | W | U | NX))
    if size > PAGE_SIZE:
        ram.write(PD, struct.pack("<Q", (HEAP_END - size) | entry | W | U | NX))
    (page,) = mappings(ram, CR3)
    assert page.size == size
    assert [fault for fault in faults(ram, CR3, ()) if "null page" not in fault] == []


def test_a_large_page_of_ring_3_reaches_beyond_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    heap = region("heap")
    ram = tables()
    ram.write(PD, struct.pack("<Q", HEAP | P | W | U | LARGE | NX))
    monkeypatch.setattr(page_tables, "region_at", lambda _: msgspec.structs.replace(heap, size=(1 << 21) - PAGE_SIZE))
    assert [fault.partition(":")[0] for fault in faults(ram, CR3, ())][:1] == ["a page of ring 3 is larger than heap"]


def test_the_null_page_is_never_mapped() -> None:
    ram = tables((0, TEXT | P))
    (page,) = mappings(ram, CR3)
    assert faults(ram, CR3, ()) == [f"the null page is mapped: {page}"]


def test_the_tables_that_are_read_are_told() -> None:
    read: set[int] = set()
    assert list(mappings(tables((1, 0x12_3000 | P)), CR3, read))
    assert read == {CR3, PDPT, PD, PT}


def test_what_is_known_of_tables_is_of_those_in_their_region(machine: Machine) -> None:
    watcher = IsolationWatcher()
    watcher.machine = machine
    ram, cr3, outside = machine.ram, machine.cpu.registers.cr[3], region("staging").base
    first = region("page_tables").base
    before, entry = ram.read(cr3, 8), struct.pack("<Q", outside | P | W | U)
    assert first <= cr3 < region("page_tables").end
    kept = ram.read(outside, PAGE_SIZE)
    ram.write(cr3, entry)
    ram.write(outside, bytes(PAGE_SIZE))
    assert watcher._faults(ram, cr3, b"the same") == ()
    ram.write(outside, struct.pack("<Q", region("text").base & -(1 << 30) | P | W | U | LARGE))
    assert watcher._faults(ram, cr3, b"the same") != ()
    ram.write(outside, kept)
    ram.write(cr3, before)
    assert watcher._faults(ram, cr3, b"as they were") == ()
    ram.write(cr3, entry)
    assert watcher._faults(ram, cr3, b"as they were") == ()  # the digest is believed
    ram.write(cr3, before)
