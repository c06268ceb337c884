"""The scrub engine: fills and verifies by DMA, in virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from machine.bus.ram import Ram
from machine.devices.engines.scrub_engine import BAD_RANGE, DONE, ID, LINE_NS, NONZERO, ScrubEngine
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState


@given(
    base=st.integers(0, 0x1_0000),
    length=st.integers(0, 0x2_0000),
    dirty=st.lists(st.integers(0, 0xFFFF), max_size=5),
)
def test_a_fill_zeroes_its_range_and_nothing_else(base: int, length: int, dirty: list[int]) -> None:
    ram, state = Ram(0x1_0000), HookState(deadline=NEVER)
    engine = ScrubEngine(ram, Clock(state))
    fills: list[tuple[int, int, bool]] = []
    engine.on_fill = lambda *fill: fills.append(fill)
    for address in dirty:
        ram.write(address, b"\xff")
    before = ram.read(0, ram.size)
    for offset, value in ((0, base), (4, length), (8, 1)):
        engine.write(0x100 + offset, 4, value)
    if base + length > ram.size:
        assert (engine.read(4, 4), ram.read(0, ram.size), fills) == (DONE | BAD_RANGE, before, [])
        return
    assert ram.read(0, ram.size) == before[:base] + bytes(length) + before[base + length :]
    assert (engine.read(0, 4), engine.read(4, 4)) == (ID, DONE)
    assert fills == [(base, length, True)]
    assert Clock(state).now_ns == 0  # time is the clock's own, not the instruction count's


@given(dirty=st.integers(0, 0xFFFF), base=st.integers(0, 0xFFFF), length=st.integers(0, 0xFFFF))
def test_verify_finds_the_first_page_in_use(dirty: int, base: int, length: int) -> None:
    ram = Ram(0x2_0000)
    clock = Clock(HookState(deadline=NEVER))
    engine = ScrubEngine(ram, clock)
    ram.write(dirty, b"\x01")
    for offset, value in ((0, base), (4, length), (8, 2)):
        engine.write(0x150 + offset, 4, value)
    inside = base <= dirty < base + length
    assert engine.read(4, 4) == (DONE | NONZERO if inside else DONE)
    assert engine.read(8, 4) == (dirty & -4096 if inside else 0)
    assert ram.read(dirty, 1) == b"\x01"
    assert clock.now_ns == -(-length // 64) * LINE_NS


def test_each_channel_reads_back_its_range_and_whatever_else_is_written_changes_nothing() -> None:
    engine = ScrubEngine(Ram(0x1_0000), Clock(HookState(deadline=NEVER)))
    for channel in range(16):
        engine.write(0x100 + 16 * channel, 4, 0x1_0000_1000 + channel)
        engine.write(0x104 + 16 * channel, 4, 0x2000 + channel)
    for offset in (0x0, 0x4, 0x8, 0xF4, 0x200, 0x204, 0x208, 0x10C, 0x1FC):
        engine.write(offset, 4, 1)
    for command in (0, 3, 0xFFFF_FFFF):
        engine.write(0x108, 4, command)
    for channel in range(16):
        words = [engine.read(0x100 + 16 * channel + at, 4) for at in (0, 4, 8, 12)]
        assert words == [0x1000 + channel, 0x2000 + channel, 0, 0]
    assert [engine.read(offset, 4) for offset in (0, 4, 8, 0xC, 0xF4, 0x200, 0x204)] == [ID, 0, 0, 0, 0, 0, 0]
    engine.reset()
    assert [engine.read(offset, 4) for offset in (0, 4, 8, 0x100, 0x104)] == [ID, 0, 0, 0, 0]
