"""fw_cfg by QEMU's documentation ("Firmware Configuration Device")."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.bus.bus import Bus
from machine.bus.ram import Ram
from machine.devices.legacy.fw_cfg import DMA_OFFSET, DMA_PORT, ERROR, PORT, READ, SELECT, SKIP, WRITE, FwCfg
from machine.errors import MachineError

FILES = {"opt/b": b"second", "opt/a/long name": bytes(range(200)), "opt/c": b""}
CONTROL = 0x1000


class Guest:
    """A kernel's use of the ports."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.ram, self.bus = Ram(1 << 16), Bus()
        device = FwCfg(self.ram, files)
        self.bus.attach_ports(device, PORT, 2, width=2)
        self.bus.attach_ports(device, DMA_PORT, 8, offset=DMA_OFFSET, width=4)

    def select(self, item: int) -> None:
        self.bus.write_port(0x510, 2, item)

    def read(self, length: int) -> bytes:
        return bytes(self.bus.read_port(0x511, 1) for _ in range(length))

    def item(self, item: int, length: int) -> bytes:
        self.select(item)
        return self.read(length)

    def files(self) -> dict[str, tuple[int, int]]:
        (count,) = struct.unpack(">I", self.item(0x19, 4))
        entries = [struct.unpack(">IHH56s", self.read(64)) for _ in range(count)]
        return {name.rstrip(b"\0").decode(): (size, item) for size, item, _, name in entries}

    def dma(self, control: int, length: int, address: int, at: int = CONTROL) -> int:
        self.ram.write(at, struct.pack(">IIQ", control, length, address))
        self.bus.write_port(0x518, 4, int.from_bytes(at.to_bytes(4, "big"), "little"))
        return int.from_bytes(self.ram.read(at, 4), "big")


def test_the_signature_says_qemu_and_dma() -> None:
    guest = Guest({})
    assert guest.read(6) == b"QEMU\0\0"
    assert guest.item(1, 4) == struct.pack("<I", 3)
    assert b"".join(guest.bus.read_port(port, 4).to_bytes(4, "little") for port in (0x514, 0x518)) == b"QEMU CFG"
    assert guest.bus.read_port(0x515, 1) == ord("E")


def test_ram_size_and_processors_are_reported() -> None:
    guest = Guest({})
    assert guest.item(3, 8) == struct.pack("<Q", 1 << 16)
    assert guest.item(5, 2) == b"\1\0"


def test_the_directory_names_the_files_in_order_and_each_can_be_read() -> None:
    guest = Guest(FILES)
    files = guest.files()
    assert list(files) == sorted(FILES)
    assert [item for _, item in files.values()] == [0x20, 0x21, 0x22]
    for name, (size, item) in files.items():
        assert size == len(FILES[name])
        assert guest.item(item, size + 1) == FILES[name] + b"\0"


def test_selecting_begins_at_the_first_byte_and_unknown_items_are_zeros() -> None:
    guest = Guest(FILES)
    guest.item(0, 2)
    assert guest.bus.read_port(0x510, 2) == 0  # 8 bits only
    assert guest.read(2) == b"MU"
    assert guest.item(0x4000, 4) == b"QEMU"  # bit 14 once asked for write access
    assert guest.item(0x7F, 4) == guest.item(0x8000, 4) == bytes(4)


@given(chunks=st.lists(st.integers(0, 90), max_size=6), select=st.booleans())
def test_dma_reads_go_on_where_the_last_ended_and_fill_with_zeros(chunks: list[int], select: bool) -> None:
    guest = Guest(FILES)
    item = guest.files()["opt/a/long name"][1]
    guest.select(item)
    wanted, position = FILES["opt/a/long name"] + bytes(1000), 0
    for number, length in enumerate(chunks):
        first = select and number == 0
        guest.ram.write(0x2000, b"\xff" * 100)
        assert guest.dma(READ | (item << 16 | SELECT if first else 0), length, 0x2000) == 0
        assert guest.ram.read(0x2000, 100) == wanted[position : position + length] + b"\xff" * (100 - length)
        position += length


def test_dma_skips() -> None:
    guest = Guest(FILES)
    assert guest.dma(0x20 << 16 | SELECT | SKIP, 5, 0) == 0
    assert guest.read(2) == bytes([5, 6])


def test_dma_selects_without_a_transfer() -> None:
    guest = Guest(FILES)
    assert guest.dma(0x21 << 16 | SELECT, 100, 0) == 0
    assert guest.read(6) == b"second"


def test_items_cannot_be_written() -> None:
    guest = Guest(FILES)
    assert guest.dma(0x21 << 16 | SELECT | WRITE, 3, 0x2000) == ERROR
    guest.bus.write_port(0x511, 1, 0xFF)
    assert guest.item(0x21, 6) == b"second"


@pytest.mark.parametrize("address", [0xFFFE, 1 << 16, 1 << 40, 2**64 - 1])
def test_a_transfer_outside_ram_is_an_error_and_moves_nothing(address: int) -> None:
    guest = Guest(FILES)
    before = guest.ram.read(0xF000, 0x1000)
    assert guest.dma(0x21 << 16 | SELECT | READ, 6, address) == ERROR
    assert guest.ram.read(0xF000, 0x1000) == before


def test_a_description_outside_ram_is_lost_and_the_address_starts_again_at_zero() -> None:
    guest = Guest(FILES)
    guest.bus.write_port(0x514, 4, 0x0100_0000)  # 1 << 32
    guest.bus.write_port(0x518, 4, 0)
    assert guest.dma(0x21 << 16 | SELECT | READ, 6, 0x2000) == 0
    assert guest.ram.read(0x2000, 6) == b"second"


def test_other_widths_at_the_dma_address_start_nothing() -> None:
    guest = Guest(FILES)
    guest.ram.write(CONTROL, struct.pack(">IIQ", READ, 4, 0x2000))
    guest.bus.write_port(0x518, 2, 0)
    guest.bus.write_port(0x51A, 2, 0x0010)
    assert guest.ram.read(0x2000, 4) == bytes(4)


@pytest.mark.parametrize("name", ["etc/e820", "opt", "opt/" + "x" * 52, "opt/é", "opt/a\0b", ""])
def test_a_bad_file_name_is_refused_by_name(name: str) -> None:
    with pytest.raises(MachineError, match=r"fw_cfg file name .* is not opt/"):
        FwCfg(Ram(4096), {name: b""})


def test_too_many_files_are_refused() -> None:
    with pytest.raises(MachineError, match="33 fw_cfg files are more than 32"):
        FwCfg(Ram(4096), {f"opt/{number}": b"" for number in range(33)})
