"""The VGA in a text mode (IBM VGA/XGA Technical Reference Manual, section 2)."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.bus.bus import Bus
from machine.bus.ram import Ram
from machine.devices.legacy.text_screen import CODE_PAGE_437, TextScreen
from machine.devices.legacy.vga import TEXT_MEMORY, Vga
from machine.machine import Machine, MachineConfiguration

CRTC, SEQUENCER, GRAPHICS = 0x3D4, 0x3C4, 0x3CE


@dataclass
class Adapter:
    """A VGA at its ports, as software sees it."""

    ram: Ram = field(default_factory=lambda: Ram(1 << 20))

    def __post_init__(self) -> None:
        machine = Machine(MachineConfiguration(1 << 20, engines=False, display=True))
        self.ram, self.bus = machine.ram, machine.bus
        assert machine.display is not None
        self.device: Vga = machine.display

    def get(self, port: int) -> int:
        return self.bus.read_port(port, 1)

    def set(self, port: int, value: int) -> None:
        self.bus.write_port(port, 1, value)

    def get_at(self, port: int, index: int) -> int:
        self.set(port, index)
        return self.get(port + 1)

    def set_at(self, port: int, index: int, value: int) -> None:
        self.set(port, index)
        self.set(port + 1, value)

    def get_attribute(self, index: int) -> int:
        self.get(0x3DA)
        self.set(0x3C0, index)
        return self.get(0x3C1)

    def show(self, row: int, column: int, text: bytes) -> None:
        self.ram.write(TEXT_MEMORY + 2 * (80 * row + column), b"".join(bytes([char, 7]) for char in text))

    @property
    def screen(self) -> TextScreen:
        found = self.device.screen()
        assert found is not None
        return found


@pytest.fixture
def vga() -> Adapter:
    return Adapter()


# As firmware leaves it


def test_it_begins_in_mode_3_with_a_blank_screen_and_the_cursor_in_its_first_cell(vga: Adapter) -> None:
    assert (vga.screen.columns, vga.screen.rows, vga.screen.cursor) == (80, 25, (0, 0))
    assert vga.screen.cells == b" \x07" * 2000
    assert vga.screen.lines() == []
    assert vga.get(0x3CC) & 1  # the colour ports, 0x3D4


def test_a_machine_without_a_display_has_neither_its_ports_nor_its_memory() -> None:
    machine = Machine(MachineConfiguration(1 << 20))
    assert machine.display is None
    assert [machine.bus.read_port(port, 1) for port in (0x3C0, 0x3CC, 0x3D5, 0x3DA)] == [0xFF] * 4
    assert machine.ram.is_zero(TEXT_MEMORY, 0x8000)


# The CRT controller


def test_a_register_of_the_crt_controller_is_chosen_by_its_index(vga: Adapter) -> None:
    for index in range(8, 0x19):
        vga.set_at(CRTC, index, 0x5A ^ index)
    assert [vga.get_at(CRTC, index) for index in range(8, 0x19)] == [0x5A ^ index for index in range(8, 0x19)]
    assert vga.get(CRTC) == 0x18


def test_a_word_written_to_the_index_port_sets_index_and_data(vga: Adapter) -> None:
    vga.bus.write_port(CRTC, 2, 0x1234 & 0xFF00 | 0x0F)
    assert (vga.get(CRTC), vga.get(CRTC + 1)) == (0x0F, 0x12)


def test_the_cursor_is_where_its_location_says_counted_in_cells(vga: Adapter) -> None:
    vga.set_at(CRTC, 0x0E, (3 * 80 + 7) >> 8)
    vga.set_at(CRTC, 0x0F, (3 * 80 + 7) & 0xFF)
    assert vga.screen.cursor == (3, 7)


@pytest.mark.parametrize(("start", "end"), [(0x20, 0x0F), (14, 13)])
def test_the_cursor_is_off_by_its_bit_and_by_a_shape_that_ends_before_it_begins(
    vga: Adapter, start: int, end: int
) -> None:
    vga.set_at(CRTC, 0x0A, start)
    vga.set_at(CRTC, 0x0B, end)
    assert vga.screen.cursor is None


def test_the_first_registers_are_protected_until_a_bit_is_cleared_except_line_compare(vga: Adapter) -> None:
    before = [vga.get_at(CRTC, index) for index in range(8)]
    for index in range(8):
        vga.set_at(CRTC, index, 0)
    assert [vga.get_at(CRTC, index) for index in range(8)] == [*before[:7], before[7] & ~0x10]
    vga.set_at(CRTC, 0x11, vga.get_at(CRTC, 0x11) & 0x7F)
    vga.set_at(CRTC, 0, 0x33)
    assert vga.get_at(CRTC, 0) == 0x33


def test_the_start_address_scrolls_and_the_cursor_moves_with_it(vga: Adapter) -> None:
    vga.show(0, 0, b"above")
    vga.show(1, 0, b"below")
    vga.set_at(CRTC, 0x0D, 80)
    vga.set_at(CRTC, 0x0F, 80 + 5)
    assert (vga.screen.lines(), vga.screen.cursor) == (["below"], (0, 5))


def test_the_screen_wraps_at_the_end_of_its_memory(vga: Adapter) -> None:
    vga.show(0, 0, b"first")
    at = 0x4000 - 80
    vga.set_at(CRTC, 0x0C, at >> 8)
    vga.set_at(CRTC, 0x0D, at & 0xFF)
    assert vga.screen.lines() == ["", "first"]


def test_a_font_of_8_lines_makes_50_rows(vga: Adapter) -> None:
    vga.set_at(CRTC, 9, 0x40 | 7)
    vga.show(49, 79, b"!")
    assert vga.screen.rows == 50
    assert vga.screen.lines()[49] == " " * 79 + "!"


# The other registers used by software


def test_reading_input_status_1_makes_the_index_of_the_attribute_controller_the_next(vga: Adapter) -> None:
    vga.get(0x3DA)
    for value in (0x10, 0x04):
        vga.set(0x3C0, value)
    assert vga.get_attribute(0x10) == 4
    vga.get(0x3DA)
    vga.set(0x3C0, 0x20)
    assert vga.get(0x3C0) == 0x20


def test_after_power_on_and_reset_the_attribute_controller_waits_for_an_index(vga: Adapter) -> None:
    for _ in range(2):
        vga.set(0x3C0, 0x25)
        assert vga.get(0x3C0) == 0x25
        vga.set(0x3C0, 0x0F)  # data, after which an index would follow
        vga.set(0x3C0, 0x26)  # an index, after which data would follow
        vga.device.reset()


def test_loops_that_wait_for_the_vertical_retrace_and_for_its_end_come_to_an_end(vga: Adapter) -> None:
    seen = [vga.get(0x3DA) & 8 for _ in range(4)]
    assert set(seen) == {0, 8}


def test_the_registers_keep_the_bits_that_they_have(vga: Adapter) -> None:
    for index, mask in enumerate(b"\x03\x3d\x0f\x3f\x0e\0\0\0"):
        vga.set_at(SEQUENCER, index, 0xFF)
        assert vga.get_at(SEQUENCER, index) == mask
    for index, mask in enumerate(b"\x0f\x0f\x0f\x1f\x03\x7b\x0f\x0f\xff\0"):
        vga.set_at(GRAPHICS, index, 0xFF)
        assert vga.get_at(GRAPHICS, index) == mask
    vga.set(0x3C2, 0x67)
    vga.set(0x3DA, 1)
    assert (vga.get(0x3CC), vga.get(0x3CA)) == (0x67, 1)


def test_the_palette_is_read_and_written_component_by_component(vga: Adapter) -> None:
    vga.set(0x3C7, 4)
    assert [vga.get(0x3C9) for _ in range(3)] == [0x2A, 0, 0]  # red
    assert vga.get(0x3C7) == 3
    vga.set(0x3C8, 0x14)
    for value in (1, 2, 0xFF):
        vga.set(0x3C9, value)
    assert (vga.get(0x3C8), vga.get(0x3C7)) == (0x15, 0)
    vga.set(0x3C7, 0x14)
    assert [vga.get(0x3C9) for _ in range(3)] == [1, 2, 0x3F]


def test_in_a_graphics_mode_there_is_no_text(vga: Adapter) -> None:
    vga.set_at(GRAPHICS, 6, 5)
    assert not vga.device.in_text_mode
    assert vga.device.screen() is None


# Characters


def test_characters_are_those_of_code_page_437() -> None:
    assert len(CODE_PAGE_437) == 256
    for code in range(0x20, 0x7F):
        assert CODE_PAGE_437[code] == chr(code)
    for code in range(0x80, 0xFF):
        assert CODE_PAGE_437[code] == bytes([code]).decode("cp437")
    assert CODE_PAGE_437[0] == CODE_PAGE_437[0xFF] == " "
    assert CODE_PAGE_437.isprintable()
    assert "".join(CODE_PAGE_437[code] for code in (1, 3, 0x10, 0x1F, 0x7F)) == "☺♥►▼⌂"


def test_lines_end_with_their_last_glyph_and_rows_with_the_last_that_has_one(vga: Adapter) -> None:
    vga.show(0, 2, b"\xc9\xcd\xbb   ")
    vga.show(2, 0, b"end\0\0")
    assert vga.screen.lines() == ["  ╔═╗", "", "end"]


# Arbitrary accesses

PORTS = st.sampled_from([*range(0x3C0, 0x3D0), 0x3D4, 0x3D5, 0x3DA])
ACCESSES = st.lists(st.tuples(PORTS, st.none() | st.integers(0, 255)), max_size=60)


@given(ACCESSES, ACCESSES)
def test_any_accesses_leave_a_screen_and_a_state_that_returns(
    before: list[tuple[int, int | None]], after: list[tuple[int, int | None]]
) -> None:
    def go(accesses: list[tuple[int, int | None]]) -> list[int]:
        seen = []
        for port, value in accesses:
            if value is None:
                seen.append(bus.read_port(port, 1))
            else:
                bus.write_port(port, 1, value)
        return seen

    bus, ram = Bus(), Ram(1 << 20)
    device = Vga(ram)
    for base, count in ((0x3C0, 16), (0x3D4, 2), (0x3DA, 1)):
        bus.attach_ports(device, base, count, offset=base - 0x3C0)
    bus.write_port(0x3D4, 2, 0x0011)  # without protection
    go(before)
    state, image = device.save_state(), ram.image()
    first = go(after), device.screen()
    screen = first[1]
    assert screen is None or len(screen.cells) == 2 * screen.columns * screen.rows
    device.load_state(state)
    ram.load(image)
    assert (go(after), device.screen()) == first
