"""Devices by their manuals: local APIC (SDM volume 3, chapter 10), 16550, scrub engine; and the bus."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.clock import Clock
from machine.device import MMIO_BASE, Bus, Device
from machine.devices import local_apic as apic
from machine.devices import uart16550 as uart
from machine.devices.debug_exit import DebugExit
from machine.devices.local_apic import LocalApic
from machine.devices.post_code import PostCode
from machine.devices.scrub_engine import BAD_RANGE, DONE, ID, LINE_NS, NONZERO, ScrubEngine
from machine.devices.uart16550 import Uart16550
from machine.errors import MachineError
from machine.ram import Ram
from machine.step_hook import NEVER, HookState

vectors = st.integers(16, 255)


def enabled() -> tuple[LocalApic, HookState]:
    state = HookState(deadline=NEVER)
    device = LocalApic(Clock(state))
    device.write(apic.SVR, 4, 0x1FF)
    return device, state


def test_a_software_disabled_apic_delivers_nothing() -> None:
    device = LocalApic(Clock(HookState()))
    device.request(0x40)
    assert device.pending() is None


@given(st.lists(vectors, min_size=1, unique=True))
def test_vectors_are_taken_by_priority_and_nest_by_class(requested: list[int]) -> None:
    device, _ = enabled()
    for wanted in requested:
        device.request(wanted)
    taken = []
    while (vector := device.pending()) is not None:
        device.acknowledge(vector)
        taken.append(vector)
        nested = device.pending()
        assert nested is None or nested >> 4 > vector >> 4
        device.write(apic.EOI, 4, 0)
    assert taken == sorted(requested, reverse=True)


@given(vectors, st.integers(0, 255))
def test_the_task_priority_masks_its_class_and_below(vector: int, priority: int) -> None:
    device, _ = enabled()
    device.write(apic.TPR, 4, priority)
    device.request(vector)
    assert (device.pending() == vector) == (vector >> 4 > priority >> 4)
    assert device.read(apic.PPR, 4) == priority


@given(vectors)
def test_requests_and_service_are_seen_in_irr_and_isr(vector: int) -> None:
    device, _ = enabled()
    offset, bit = (vector >> 5) * 16, 1 << (vector & 31)
    device.request(vector)
    assert device.read(apic.IRR + offset, 4) == bit
    device.acknowledge(vector)
    assert (device.read(apic.IRR + offset, 4), device.read(apic.ISR + offset, 4)) == (0, bit)
    device.write(apic.EOI, 4, 0)
    assert device.read(apic.ISR + offset, 4) == 0


@pytest.mark.parametrize(
    ("encoded", "divider"), [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)]
)
def test_the_divider_is_encoded_in_bits_3_1_and_0(encoded: int, divider: int) -> None:
    device, _ = enabled()
    device.write(apic.DIVIDE_CONFIGURATION, 4, encoded)
    assert device.divider == divider


@given(count=st.integers(1, 2**32 - 1), started=st.integers(0, 1000), encoded=st.sampled_from([0, 1, 11]))
def test_the_timer_fires_once_after_count_plus_one_periods(count: int, started: int, encoded: int) -> None:
    device, state = enabled()
    state.retired = started
    device.write(apic.DIVIDE_CONFIGURATION, 4, encoded)
    device.write(apic.LVT_TIMER, 4, 0x30)
    device.write(apic.INITIAL_COUNT, 4, count)
    deadline = started + (count + 1) * device.divider
    assert device.deadline_ns == deadline
    device.tick(deadline - 1)
    assert device.pending() is None
    device.tick(deadline)
    fired: tuple[object, ...] = (device.pending(), device.deadline_ns, device.fired_ns)
    assert fired == (0x30, None, deadline)


def test_a_masked_timer_counts_and_raises_nothing() -> None:
    device, _ = enabled()
    device.write(apic.INITIAL_COUNT, 4, 10)
    device.tick(11)
    assert device.pending() is None


def test_a_count_of_zero_stops_the_timer() -> None:
    device, _ = enabled()
    device.write(apic.INITIAL_COUNT, 4, 10)
    device.write(apic.INITIAL_COUNT, 4, 0)
    assert device.deadline_ns is None
    assert device.read(apic.CURRENT_COUNT, 4) == 0


@given(st.binary(max_size=100))
def test_the_uart_sends_what_is_written_to_thr(data: bytes) -> None:
    device = Uart16550()
    for byte in data:
        assert device.read(uart.LSR, 1) & 0x20
        device.write(uart.THR, 1, byte)
    assert device.transmitted == data


def test_dlab_reaches_the_divisor_and_sends_nothing() -> None:
    device = Uart16550()
    device.write(uart.LCR, 1, 0x83)
    device.write(uart.THR, 1, 1)
    device.write(uart.IER, 1, 0)
    assert (device.read(uart.THR, 1), device.read(uart.IER, 1)) == (1, 0)
    device.write(uart.LCR, 1, 3)
    assert device.transmitted == b""
    assert device.read(uart.IER, 1) == 0


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


def test_the_bus_floats_where_no_device_answers() -> None:
    bus = Bus()
    assert bus.read_port(0x60, 1) == 0xFF
    assert bus.read_memory(0x1000, 4) == 0xFFFF_FFFF
    bus.write_port(0x60, 1, 0)
    bus.write_memory(0x1000, 4, 0)


def test_two_devices_cannot_have_one_place() -> None:
    bus = Bus()
    bus.attach_ports(PostCode(), 0x80, 1)
    bus.attach_memory(Device(), MMIO_BASE)
    with pytest.raises(MachineError, match="port 0x80 is taken"):
        bus.attach_ports(PostCode(), 0x80, 1)
    for address in (MMIO_BASE, MMIO_BASE + 1, 0x1000):
        with pytest.raises(MachineError, match=hex(address)):
            bus.attach_memory(Device(), address)


def test_debug_exit_has_qemus_status() -> None:
    stopped: list[None] = []
    device = DebugExit(lambda: stopped.append(None))
    device.write(0, 1, 0x10)
    assert (device.status, len(stopped)) == (0x21, 1)


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
