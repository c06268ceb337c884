"""Physical memory: bounds, zero scans, forked children."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.bus.host_memory import LINUX
from machine.bus.ram import Ram
from machine.errors import MachineError


def test_ram_knows_its_pages_in_use() -> None:
    ram = Ram(1 << 20)
    for page in (0, 7, 8, 255):
        ram.write(page * 4096 + 4095, b"\x01")
    assert ram.nonzero_pages() == [0, 7 * 4096, 8 * 4096, 255 * 4096]


@pytest.mark.parametrize(("base", "length"), [(-1, 1), (0, (1 << 20) + 1), (1 << 20, 1), (0, -1)])
def test_ram_refuses_what_is_outside(base: int, length: int) -> None:
    with pytest.raises(MachineError, match="not inside RAM"):
        Ram(1 << 20).read(base, length)


@pytest.mark.parametrize("size", [0, -4096, 4097])
def test_ram_has_whole_pages(size: int) -> None:
    with pytest.raises(MachineError, match="multiple of 4096"):
        Ram(size)


@pytest.mark.skipif(not LINUX, reason="only there is address space reserved")
def test_nothing_can_be_accessed_in_what_is_reserved_after_ram() -> None:
    ram = Ram(1 << 20, reserve=1 << 24)
    end = ram.host_address + ram.size
    behind = []
    for span, rights in (line.split()[:2] for line in Path("/proc/self/maps").read_text().splitlines()):
        start, stop = (int(part, 16) for part in span.split("-"))
        if start < end + (1 << 24) and stop > end:
            behind.append(rights)
    assert behind
    assert {rights[:3] for rights in behind} == {"---"}


@given(touched=st.lists(st.tuples(st.integers(0, (1 << 20) - 1), st.booleans()), max_size=6), zeroed=st.booleans())
def test_zero_is_told_whether_or_not_pages_were_ever_touched(touched: list[tuple[int, bool]], zeroed: bool) -> None:
    ram = Ram(1 << 20)
    dirty = set()
    for address, written in touched:
        if written:
            ram.write(address, b"\x01")
            dirty.add(address & -4096)
        else:
            ram.read(address, 1)
    if zeroed:
        ram.zero(0, ram.size)
        dirty.clear()
    assert ram.nonzero_pages() == sorted(dirty)
    assert ram.is_zero(0, ram.size) == (not dirty)
    assert ram.read(0, ram.size).count(0) == ram.size - (0 if zeroed else len({a for a, w in touched if w}))


def test_a_forked_child_sees_its_own_pages() -> None:
    ram = Ram(1 << 20)
    child = os.fork()
    if child == 0:
        ram.write(0x5000, b"\x01")
        os._exit(0 if ram.nonzero_pages() == [0x5000] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ram.nonzero_pages() == []
