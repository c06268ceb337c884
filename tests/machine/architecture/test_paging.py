"""Our page walk agrees with Unicorn's (SDM volume 3, 4.5)."""

import ctypes
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE, Uc, unicorn_const, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.architecture.exceptions import PageFault
from machine.architecture.paging import NO_EXECUTE, Mode, SupervisorMemory, is_canonical, walk
from machine.architecture.processor_state import ProcessorState
from machine.bus.ram import Ram

SIZE = 1 << 20
ROOT = 0x1000
TABLES = (0x2000, 0x3000, 0x4000, 0x5000)


def long_mode(ram: Ram) -> Uc:
    uc = Uc(unicorn_const.UC_ARCH_X86, unicorn_const.UC_MODE_64)
    uc.mem_map_ptr(0, ram.size, unicorn_const.UC_PROT_ALL, ram.host_address)
    uc.reg_write(x86_const.UC_X86_REG_CR4, 0x20)
    uc.msr_write(0xC000_0080, 0x900)
    uc.reg_write(x86_const.UC_X86_REG_CR0, 0x8001_0011)
    uc.reg_write(x86_const.UC_X86_REG_CR3, ROOT)
    return uc


def translate(uc: Uc, address: int, access: int) -> int | None:
    physical = ctypes.c_uint64()
    status = uclib.uc_vmem_translate(uc._uch, ctypes.c_uint64(address), access, ctypes.byref(physical))
    return None if status else physical.value


flags = st.builds(
    lambda present, writable, user, large, no_execute: (
        (present and 1) | (writable and 2) | (user and 4) | (large and 0x80) | (NO_EXECUTE if no_execute else 0)
    ),
    *[st.booleans()] * 5,
)


@settings(max_examples=150)
@given(
    entries=st.lists(st.tuples(flags, flags, flags, flags, st.integers(0, 200)), min_size=1, max_size=4),
    offset=st.integers(0, 4095),
)
def test_the_walk_agrees_with_unicorn(entries: list[tuple[int, int, int, int, int]], offset: int) -> None:
    ram = Ram(SIZE)
    for index, (top, directory, middle, leaf, page) in enumerate(entries):
        base = 0x1_0000 * (index + 1)
        chain = (
            (ROOT, base, top & ~0x80),
            (base, base + 0x1000, directory & ~0x80),
            (base + 0x1000, base + 0x2000, middle),
        )
        for table, following, bits in chain:
            target = 0 if bits & 0x80 else following
            ram.write(table + 8 * (index if table == ROOT else 0), struct.pack("<Q", target | bits | 0x20))
        ram.write(base + 0x2000, struct.pack("<Q", page << 12 | (leaf & ~0x80) | 0x60))
    uc = long_mode(ram)
    for index in range(len(entries)):
        address = (index << 39) + offset
        found = walk(ram, ROOT, address)
        found = None if found is not None and found.reserved else found
        for access, allowed in (
            (UC_PROT_READ, found is not None),
            (UC_PROT_WRITE, found is not None and found.writable),
            (UC_PROT_EXEC, found is not None and found.executable),
        ):
            physical = translate(uc, address, access)
            if physical is not None or allowed:
                assert found is not None
                assert allowed
                assert physical == found.physical + offset


@given(st.integers(0, 2**64 - 1))
def test_canonical_addresses_are_sign_extended_from_bit_47(address: int) -> None:
    signed = address - (1 << 64) if address >> 63 else address
    assert is_canonical(address) == (-(1 << 47) <= signed < 1 << 47)


CR0_PE, CR0_WP, CR0_PG, CR4_PAE, CR4_SMAP = 1, 1 << 16, 1 << 31, 1 << 5, 1 << 21
EFER_LMA, EFER_NXE, FLAG_AC = 1 << 10, 1 << 11, 1 << 18


def supervisor(ram: Ram, leaf: int | None = 0x7003, cr4: int = 0, cr0: int = CR0_WP) -> SupervisorMemory:
    """Long mode with the page at 0x1000 mapped by `leaf`."""
    state = ProcessorState(efer=EFER_LMA | EFER_NXE)
    state.cr[0], state.cr[3], state.cr[4] = CR0_PE | CR0_PG | cr0, ROOT, CR4_PAE | cr4
    for table, following in zip((ROOT, *TABLES), TABLES[:3], strict=False):
        ram.write(table, struct.pack("<Q", following | 7))
    if leaf is not None:
        ram.write(TABLES[2] + 8, struct.pack("<Q", leaf))
    return SupervisorMemory(ram, state)


def test_with_paging_off_linear_addresses_are_physical() -> None:
    ram = Ram(SIZE)
    ram.write(0xFFE, b"abcd")
    memory = SupervisorMemory(ram, ProcessorState())
    assert memory.mode is Mode.OFF
    assert memory.read(0xFFE, 4) == b"abcd"
    assert memory.read(SIZE - 2, 4)[2:] == b"\xff\xff"


def test_a_translation_is_stale_until_it_is_flushed_but_a_missing_one_is_never_remembered() -> None:
    ram = Ram(SIZE)
    memory = supervisor(ram, leaf=None)
    with pytest.raises(PageFault) as missing:
        memory.read(0x1234, 4)
    assert (missing.value.error_code, missing.value.address) == (0, 0x1234)
    ram.write(TABLES[2] + 8, struct.pack("<Q", 0x7003))
    ram.write(0x7234, b"here")
    assert memory.read(0x1234, 4) == b"here"
    ram.write(TABLES[2] + 8, struct.pack("<Q", 0x8003))
    assert memory.read(0x1234, 4) == b"here"
    memory.flush()
    assert memory.read(0x1234, 4) == bytes(4)


@pytest.mark.parametrize(
    ("leaf", "cr0", "cr4", "rflags", "code"),
    [
        (0x7001, CR0_WP, 0, 0, 3),  # read-only
        (0x7001, 0, 0, 0, None),  # which the supervisor ignores without CR0.WP
        (0x7007, CR0_WP, 0, 0, None),
        (0x7007, CR0_WP, CR4_SMAP, 0, 3),  # the user's
        (0x7007, CR0_WP, CR4_SMAP, FLAG_AC, None),
        (0x0010_0000_0000_7003 >> 8 << 8 | 3, CR0_WP, 0, 0, None),  # bit 52 is the program's
        (1 << 51 | 0x7003, CR0_WP, 0, 0, 0xB),  # bit 51 is reserved: the machine has 40 address bits
        (0, CR0_WP, 0, 0, 2),
    ],
)
def test_a_push_is_a_supervisor_write(leaf: int, cr0: int, cr4: int, rflags: int, code: int | None) -> None:
    ram = Ram(SIZE)
    memory = supervisor(ram, leaf, cr4, cr0)
    if code is None:
        memory.push(0x1FE0, b"x" * 32, rflags)
        assert ram.read(0x7FE0, 32) == b"x" * 32
        assert ram.read(TABLES[2] + 8, 1)[0] & 0x60 == 0x60  # accessed and dirty
    else:
        with pytest.raises(PageFault) as refused:
            memory.push(0x1FE0, b"x" * 32, rflags)
        assert (refused.value.error_code, refused.value.address) == (code, 0x1FF8)


def test_a_push_across_pages_stores_nothing_when_one_is_missing() -> None:
    ram = Ram(SIZE)
    memory = supervisor(ram, leaf=0x7003)
    with pytest.raises(PageFault) as refused:
        memory.push(0x1FF0, b"x" * 32)
    assert refused.value.address == 0x2008
    assert ram.is_zero(0x7000, 4096)


@pytest.mark.parametrize("length", [8, 12, 16])
@pytest.mark.parametrize("below", range(1, 8))
def test_each_byte_of_a_push_across_pages_lands_in_its_page(length: int, below: int) -> None:
    """`below` bytes are in the lower page, possibly only a part of a word. The pages are not adjacent in RAM."""
    ram, data = Ram(SIZE), bytes(range(1, length + 1))
    memory = supervisor(ram, leaf=0x7003)
    ram.write(TABLES[2] + 16, struct.pack("<Q", 0x9003))
    memory.push(0x2000 - below, data, unit=4)
    assert ram.read(0x8000 - below, below) + ram.read(0x9000, length - below) == data
    assert ram.is_zero(0x7000, 0x1000 - below)
    assert ram.is_zero(0x9000 + length - below, 0x1000 - length + below)


@pytest.mark.parametrize(("below", "address"), [(1, 0x2003), (2, 0x2002), (4, 0x2000), (6, 0x2000), (7, 0x2000)])
def test_a_push_into_a_missing_upper_page_faults_there(below: int, address: int) -> None:
    """At the highest word, or, if that crosses, where the page begins."""
    ram = Ram(SIZE)
    memory = supervisor(ram, leaf=0x7003)
    with pytest.raises(PageFault) as refused:
        memory.push(0x2000 - below, b"x" * 8, unit=4)
    assert refused.value.address == address
    assert ram.is_zero(0x7000, 4096)


@pytest.mark.parametrize("below", range(1, 16))
def test_a_push_into_two_missing_pages_faults_at_its_highest_word(below: int) -> None:
    """The processor pushes downwards, so that word is stored first, whichever page it is in."""
    ram = Ram(SIZE)
    memory = supervisor(ram, leaf=0)
    with pytest.raises(PageFault) as refused:
        memory.push(0x2000 - below, b"x" * 16, unit=4)
    assert refused.value.address == 0x2000 - below + 12


def test_reading_marks_entries_accessed_and_inspection_marks_nothing() -> None:
    ram = Ram(SIZE)
    memory = supervisor(ram)
    memory.look(0x1000)
    assert not ram.read(ROOT, 1)[0] & 0x20
    memory.read(0x1000, 1)
    assert [ram.read(at, 1)[0] & 0x60 for at in (ROOT, TABLES[0], TABLES[1], TABLES[2] + 8)] == [0x20] * 4


ENTRIES = (ROOT, TABLES[0], TABLES[1], TABLES[2] + 8)
"""The entries that translate 0x1000 in `supervisor`."""


def flags_of_entries(ram: Ram) -> list[int]:
    """Accessed (20H) and dirty (40H) of each level."""
    return [ram.read(at, 1)[0] & 0x60 for at in ENTRIES]


def test_a_page_that_was_read_is_looked_at_again_when_it_is_written() -> None:
    """CR0.WP forbids it, although the translation is cached; a page that was written may be read."""
    ram = Ram(SIZE)
    memory = supervisor(ram, leaf=0x7001)
    assert memory.read(0x1FE0, 8) == bytes(8)
    for address in (0x1FE0, 0x1FE8):
        with pytest.raises(PageFault) as refused:
            memory.push(address, b"x" * 8)
        assert (refused.value.error_code, refused.value.address) == (3, address)
    assert ram.is_zero(0x7000, 4096)
    assert flags_of_entries(ram) == [0x20] * 4
    ram.write(ENTRIES[3], struct.pack("<Q", 0x7003))  # an added right needs no INVLPG (4.10.4.3)
    memory.push(0x1FE0, b"x" * 8)
    assert ram.read(0x7FE0, 8) == memory.read(0x1FE0, 8) == b"x" * 8


def test_a_write_sets_the_dirty_flag_in_the_last_level_though_a_read_came_first() -> None:
    ram = Ram(SIZE)
    memory = supervisor(ram)
    memory.read(0x1FE0, 8)
    assert flags_of_entries(ram) == [0x20] * 4
    memory.push(0x1FE0, b"x" * 8)
    assert flags_of_entries(ram) == [0x20, 0x20, 0x20, 0x60]


def test_flags_are_set_once_and_not_again_before_the_translation_is_dropped() -> None:
    ram = Ram(SIZE)
    memory = supervisor(ram)
    memory.push(0x1FE0, b"x" * 8)
    for at in ENTRIES:
        ram.write(at, bytes([ram.read(at, 1)[0] & ~0x60]))
    memory.push(0x1FE0, b"x" * 8)
    assert flags_of_entries(ram) == [0] * 4
    memory.flush()
    memory.push(0x1FE0, b"x" * 8)
    assert flags_of_entries(ram) == [0x20, 0x20, 0x20, 0x60]


def test_a_refused_write_sets_no_flag() -> None:
    ram = Ram(SIZE)
    memory = supervisor(ram, leaf=0x7001)
    with pytest.raises(PageFault):
        memory.push(0x1FE0, b"x" * 8)
    assert flags_of_entries(ram) == [0] * 4


@given(offset=st.integers(4096 - 48, 4096), pushed=st.binary(min_size=1, max_size=48))
def test_bytes_of_a_push_lie_where_each_page_is(offset: int, pushed: bytes) -> None:
    """Two adjacent linear pages, whose physical pages are not adjacent and in reverse order."""
    ram = Ram(SIZE)
    memory = supervisor(ram, leaf=0x9003)
    ram.write(TABLES[2] + 16, struct.pack("<Q", 0x7003))
    memory.push(0x1000 + offset, pushed, unit=1)
    expected = bytearray(3 * 4096)
    for index, byte in enumerate(pushed):
        at = offset + index
        expected[0x2000 + at if at < 4096 else at - 4096] = byte
    assert ram.read(0x7000, 3 * 4096) == expected
    assert memory.read(0x1000 + offset, len(pushed)) == pushed
    dirty = [ram.read(TABLES[2] + 8 * page, 1)[0] & 0x40 for page in (1, 2)]
    assert dirty == [0x40 if offset < 4096 else 0, 0x40 if offset + len(pushed) > 4096 else 0]


@pytest.mark.parametrize(("first", "second", "address"), [(0x9001, 0x7003, 0x1FF8), (0x9003, 0x7001, 0x2008)])
def test_a_push_across_pages_stores_nothing_when_one_is_read_only(first: int, second: int, address: int) -> None:
    """The fault has the address of the highest unit that cannot be stored."""
    ram = Ram(SIZE)
    memory = supervisor(ram, leaf=first)
    ram.write(TABLES[2] + 16, struct.pack("<Q", second))
    memory.read(0x1FF0, 32)
    with pytest.raises(PageFault) as refused:
        memory.push(0x1FF0, b"x" * 32)
    assert (refused.value.error_code, refused.value.address) == (3, address)
    assert ram.is_zero(0x7000, 3 * 4096)


@pytest.mark.parametrize("large", [False, True])
def test_a_large_page_of_two_levels_has_eight_more_bits_of_its_address(large: bool) -> None:
    """PSE-36 (SDM volume 3, 4.3): bits 20 to 13 are bits 39 to 32; bit 21 is reserved. Without PSE it is a table."""
    ram = Ram(SIZE)
    ram.write(ROOT + 4 * 3, struct.pack("<I", 0x1C0 << 22 | 0xA5 << 13 | 1 << 12 | 0x87))
    ram.write(ROOT + 4 * 4, struct.pack("<I", 0x1C0 << 22 | 1 << 21 | 0x87))
    found = [walk(ram, ROOT, (3 + n) << 22 | 0x12_3456, Mode.TWO_LEVEL, large=large) for n in (0, 1)]
    if large:
        assert [one and (one.physical, one.reserved) for one in found] == [
            (0xA5 << 32 | 0x1C0 << 22 | 0x12_3000, False),
            (0x1C0 << 22 | 0x12_3000, True),
        ]
    else:
        assert found == [None, None]


@pytest.mark.parametrize("mode", [Mode.TWO_LEVEL, Mode.PAE, Mode.FOUR_LEVEL])
def test_a_table_where_there_is_no_ram_maps_nothing(mode: Mode) -> None:
    ram = Ram(SIZE)
    assert walk(ram, SIZE, 0, mode) is None
    ram.write(ROOT, struct.pack("<Q", SIZE | 1))
    assert walk(ram, ROOT, 0, mode) is None
