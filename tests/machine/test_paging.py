"""Our page walk and Unicorn's are the same function (SDM volume 3, 4.5)."""

import ctypes
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE, Uc, unicorn_const, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.paging import NO_EXECUTE, TranslationCache, is_canonical, walk
from machine.ram import Ram

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


@settings(max_examples=150, deadline=None)
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


def test_the_cache_is_stale_until_it_is_flushed() -> None:
    ram = Ram(SIZE)
    cache = TranslationCache(ram)
    assert cache.physical(0x1234, 4) == 0x1234
    cache.flush(ROOT)
    assert cache.physical(0x1234, 4) is None
    for table, following in zip((ROOT, *TABLES), (*TABLES[:3], 0x7000), strict=False):
        ram.write(table + (8 if following == 0x7000 else 0), struct.pack("<Q", following | 3))
    assert cache.physical(0x1234, 4) is None
    cache.flush(ROOT)
    assert cache.physical(0x1234, 4) == 0x7234


def test_reads_cross_pages_and_stop_at_missing_ones() -> None:
    ram = Ram(SIZE)
    ram.write(0xFFE, b"abcd")
    cache = TranslationCache(ram)
    assert cache.read(0xFFE, 4) == b"abcd"
    assert cache.read(SIZE - 2, 4) is None
