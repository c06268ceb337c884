"""The bus: device addresses, and the routing of accesses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.bus.bus import MMIO_BASE, Bus, Device
from machine.devices.legacy.debug_exit import DebugExit
from machine.devices.legacy.post_code import PostCode
from machine.errors import MachineError


class Probe(Device):
    """Notes accesses; a register reads as its offset."""

    def __init__(self) -> None:
        super().__init__()
        self.accesses: list[tuple[int, ...]] = []

    def read(self, offset: int, size: int) -> int:
        self.accesses.append((offset, size))
        return int.from_bytes(bytes(offset + index for index in range(size)), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        self.accesses.append((offset, size, value))


def probed(count: int, width: int, offset: int = 0) -> tuple[Bus, Probe]:
    bus, probe = Bus(), Probe()
    bus.attach_ports(probe, 0x100, count, offset=offset, width=width)
    return bus, probe


def test_the_bus_floats_where_no_device_answers() -> None:
    bus = Bus()
    for size in (1, 2, 4):
        assert bus.read_port(0x60, size) == (1 << 8 * size) - 1
    assert bus.read_memory(0x1000, 4) == 0xFFFF_FFFF
    bus.write_port(0x60, 4, 0)
    bus.write_memory(0x1000, 4, 0)


def test_two_devices_cannot_have_one_place() -> None:
    bus = Bus()
    bus.attach_ports(PostCode(), 0x80, 1)
    bus.attach_memory(Device(), MMIO_BASE)
    with pytest.raises(MachineError, match="port 0x80 is taken"):
        bus.attach_ports(PostCode(), 0x7E, 4)
    assert bus.read_port(0x7F, 1) == 0xFF  # nothing was half attached
    for address in (MMIO_BASE, MMIO_BASE + 1, 0x1000):
        with pytest.raises(MachineError, match=hex(address)):
            bus.attach_memory(Device(), address)


def test_a_wide_access_to_byte_ports_is_made_of_consecutive_ones_lowest_first() -> None:
    bus, probe = probed(8, width=1)
    bus.write_port(0x102, 4, 0x44332211)
    assert probe.accesses == [(2, 1, 0x11), (3, 1, 0x22), (4, 1, 0x33), (5, 1, 0x44)]
    assert bus.read_port(0x102, 4) == 0x05040302


def test_a_device_gets_accesses_up_to_its_width_whole() -> None:
    bus, probe = probed(8, width=2)
    bus.write_port(0x100, 2, 0xBEEF)
    bus.write_port(0x104, 4, 0x44332211)
    assert probe.accesses == [(0, 2, 0xBEEF), (4, 2, 0x2211), (6, 2, 0x4433)]


def test_an_access_that_leaves_the_block_is_split_and_the_rest_floats() -> None:
    bus, probe = probed(2, width=2)
    assert bus.read_port(0x101, 2) == 0xFF01
    assert bus.read_port(0x0FF, 2) == 0x00FF
    assert probe.accesses == [(1, 1), (0, 1)]


def test_a_device_may_be_at_several_places_with_registers_of_one_numbering() -> None:
    bus, probe = probed(2, width=1, offset=6)
    bus.attach_ports(probe, 0x200, 1)
    assert (bus.read_port(0x101, 1), bus.read_port(0x200, 1)) == (7, 0)
    assert bus.devices == [probe]


@given(port=st.integers(0xF8, 0x110), size=st.sampled_from([1, 2, 4]), width=st.sampled_from([1, 2, 4]))
def test_every_byte_is_the_port_it_lies_at(port: int, size: int, width: int) -> None:
    bus, _ = probed(8, width)
    wanted = [at - 0x100 if 0x100 <= at < 0x108 else 0xFF for at in range(port, port + size)]
    assert bus.read_port(port, size).to_bytes(size, "little") == bytes(wanted)


@pytest.mark.parametrize(("size", "value"), [(1, 0x10), (2, 0x1234), (4, 0x8765_4321)])
def test_debug_exit_takes_any_width_and_has_qemus_status(size: int, value: int) -> None:
    stopped: list[None] = []
    device, bus = DebugExit(lambda: stopped.append(None)), Bus()
    bus.attach_ports(device, 0xF4, 4, width=4)
    bus.write_port(0xF4, size, value)
    assert (device.status, len(stopped)) == (value << 1 | 1, 1)
    assert bus.read_port(0xF4, size) == 0
    device.reset()
    assert device.status is None


def test_the_post_code_display_shows_the_last_byte_written() -> None:
    device = PostCode()
    device.write(0, 1, 0x5A)
    assert device.read(0, 1) == 0x5A
    device.reset()
    assert device.read(0, 1) == 0
