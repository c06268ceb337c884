"""Pages with content are found alike in both ways of asking the kernel."""

import ctypes
import mmap
import sys

import pytest

from machine.bus import pagemap
from machine.bus.host_memory import HostMemory

PAGES = 600
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a page map")


def touched(scans: bool, memory: HostMemory) -> list[tuple[int, int]]:
    found = None
    if scans:
        assert pagemap._scans.file is not None
        found = pagemap._scan(pagemap._scans.file, memory.address, memory.address + memory.size, 7)
        if found is None:
            pytest.skip("a kernel before 6.7")
    else:
        assert pagemap._scans.file is not None
        found = pagemap._read(pagemap._scans.file, memory.address, memory.size)
        assert found is not None
    size = mmap.PAGESIZE
    return [((start - memory.address) // size, (end - memory.address) // size) for start, end in found]


@pytest.mark.parametrize("scans", [False, True])
@pytest.mark.parametrize("pages", [[], [0], [PAGES - 1], [3, 4, 5, 9], [*range(0, PAGES, 2)], [*range(PAGES)]])
def test_every_written_page_is_found(scans: bool, pages: list[int]) -> None:
    memory = HostMemory(PAGES * mmap.PAGESIZE)
    for page in pages:
        ctypes.memset(memory.address + page * mmap.PAGESIZE + 17, 1, 1)
    found = [page for start, end in touched(scans, memory) for page in range(start, end)]
    assert found == pages
    assert [page for page, flag in enumerate(memory.touched_pages()) if flag] == pages


def test_a_dropped_page_is_not_found() -> None:
    memory = HostMemory(PAGES * mmap.PAGESIZE)
    ctypes.memset(memory.address, 1, 3 * mmap.PAGESIZE)
    memory.drop(mmap.PAGESIZE, mmap.PAGESIZE)
    assert [*memory.touched_pages()[:4]] == [1, 0, 1, 0]
    assert not memory.is_zero(0, memory.size)
    memory.drop(0, memory.size)
    assert memory.is_zero(0, memory.size)


def test_a_kernel_without_scans_is_asked_in_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = HostMemory(PAGES * mmap.PAGESIZE)
    ctypes.memset(memory.address + 5 * mmap.PAGESIZE, 1, 1)
    monkeypatch.setattr(pagemap, "_PAGEMAP_SCAN", 0)
    monkeypatch.setattr(pagemap._scans, "has_scan", True)
    assert memory.touched_pages().index(1) == 5
    assert not pagemap._scans.has_scan


def test_a_host_without_a_page_map_reads_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = HostMemory(8 * mmap.PAGESIZE)
    ctypes.memset(memory.address + 5 * mmap.PAGESIZE, 1, 1)
    monkeypatch.setattr(pagemap._scans, "file", None)
    assert [*memory.touched_pages()] == [0, 0, 0, 0, 0, 1, 0, 0]
