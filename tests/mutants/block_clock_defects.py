"""Faults of counting by block, in Python and in native code.

No trial exercises these: the fuzzer's cases must find them.
"""

from unicorn import UC_PROT_READ, UC_PROT_WRITE

from machine.bus.bus import MMIO_BASE, MMIO_SIZE
from machine.processor.block_clock import BlockClock
from tests.mutants.defect import BY_BLOCK, SEARCH_BY_BLOCK, Change, Defect, Edit, NativeHook, Replacement

_begin = BlockClock.begin


def _begin_with_devices(self: BlockClock) -> bool:
    begun = _begin(self)
    if begun:
        self._uc.mem_protect(MMIO_BASE, MMIO_SIZE, UC_PROT_READ | UC_PROT_WRITE)
    return begun


def _begin_with_stores(self: BlockClock) -> bool:
    begun = _begin(self)
    self._code_pages.refuses_stores = False
    return begun


def _defect(name: str, description: str, change: Change) -> Defect:
    return Defect(name, description, change, (SEARCH_BY_BLOCK,), (BY_BLOCK,))


def _native(old: str, new: str) -> NativeHook:
    return NativeHook((Edit("by_block.h", old, new),))


BLOCK_CLOCK_DEFECTS = (
    _defect(
        "block-fault",
        "after a fault within a block, its count is one instruction short",
        _native("settle(uc, s, rip, AFTER);", "settle(uc, s, rip, BEFORE);"),
    ),
    _defect(
        "block-deadline",
        "a block runs beyond a deadline that is within it",
        _native("if (reason || retired > s->deadline)", "if (reason || s->retired >= s->deadline)"),
    ),
    _defect(
        "block-examined",
        "no instruction is examined while blocks are counted",
        _native("return action != 0;", "return 0;"),
    ),
    _defect(
        "block-devices",
        "a device may be accessed within a block, when the count is that of its end",
        Replacement(BlockClock, "begin", _begin_with_devices),
    ),
    _defect(
        "block-stores",
        "code may be written within the block that executes it",
        Replacement(BlockClock, "begin", _begin_with_stores),
    ),
)
