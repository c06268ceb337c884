"""The scan finds every byte that is neither zero nor the measured image's, and names its location."""

from enclave_sim.memory_map import region
from enclave_sim.recording.outcome.residue import Residue, ResidueRange, scan
from machine.boot.elf import Segment
from machine.bus.ram import PAGE_SIZE, Ram

SIZE = 4 << 20
TEXT = 0x10_0000
FREE = 0x30_0000
READ, WRITE, EXECUTE = 4, 2, 1


def segment(physical: int, data: bytes, flags: int = READ | EXECUTE) -> Segment:
    return Segment(physical=physical, data=data, memory_size=len(data), flags=flags)


def found(*writes: tuple[int, bytes], image: tuple[Segment, ...] = (), usable: list[range] | None = None) -> Residue:
    ram = Ram(SIZE)
    for base, data in writes:
        ram.write(base, data)
    return scan(ram, image, usable)


def test_nothing_is_left_in_ram_that_is_zero() -> None:
    assert found() == Residue((), SIZE)
    assert found().total_bytes == 0


def test_each_run_of_bytes_is_a_range_with_its_region() -> None:
    data = region("data")
    residue = found((FREE + 5, b"\1\2"), (FREE + 9, b"\3"), (data.base, b"\4"))
    assert residue.ranges == (
        ResidueRange(data.base, b"\4", "data"),
        ResidueRange(FREE + 5, b"\1\2", "unmapped"),
        ResidueRange(FREE + 9, b"\3", "unmapped"),
    )
    assert residue.total_bytes == 4
    assert residue.scanned_bytes == SIZE


def test_bytes_at_both_ends_of_a_page_and_of_ram_are_found() -> None:
    residue = found((FREE, b"\1"), (FREE + PAGE_SIZE - 1, b"\2"), (SIZE - 1, b"\3"))
    assert [(one.base, one.data) for one in residue.ranges] == [
        (FREE, b"\1"),
        (FREE + PAGE_SIZE - 1, b"\2"),
        (SIZE - 1, b"\3"),
    ]


def test_a_run_over_the_end_of_a_page_is_a_range_of_each() -> None:
    residue = found((FREE + PAGE_SIZE - 2, b"\1\2\3"))
    assert [(one.base, one.data) for one in residue.ranges] == [
        (FREE + PAGE_SIZE - 2, b"\1\2"),
        (FREE + PAGE_SIZE, b"\3"),
    ]


IMAGE = bytes(range(1, 200)) * 50
"""Two pages and a part of a third."""


def test_the_read_only_image_may_remain_and_so_may_zeros_in_its_place() -> None:
    image = (segment(TEXT, IMAGE),)
    assert found((TEXT, IMAGE), image=image).ranges == ()
    assert found(image=image).ranges == ()
    holes = IMAGE[:100] + bytes(50) + IMAGE[150:]
    assert found((TEXT, holes), image=image).ranges == ()


def test_a_changed_byte_of_the_image_is_residue_in_every_page_of_it() -> None:
    image = (segment(TEXT, IMAGE),)
    for at in (0, PAGE_SIZE + 7, len(IMAGE) - 1):
        changed = IMAGE[:at] + b"\xff" + IMAGE[at + 1 :]
        assert [(one.base, one.data) for one in found((TEXT, changed), image=image).ranges] == [(TEXT + at, b"\xff")]


def test_what_follows_the_image_in_its_last_page_is_residue() -> None:
    image = (segment(TEXT, IMAGE),)
    residue = found((TEXT, IMAGE + b"\7"), image=image)
    assert [(one.base, one.data) for one in residue.ranges] == [(TEXT + len(IMAGE), b"\7")]


def test_the_image_elsewhere_and_a_writable_segment_are_residue() -> None:
    assert found((FREE, IMAGE[:20]), image=(segment(TEXT, IMAGE),)).total_bytes == 20
    assert found((TEXT, IMAGE), image=(segment(TEXT, IMAGE, READ | WRITE),)).total_bytes == len(IMAGE)


def test_where_the_firmware_names_what_is_usable_nothing_else_is_looked_at() -> None:
    usable = [range(FREE + 0x10, FREE + 0x20), range(FREE + 2 * PAGE_SIZE, FREE + 4 * PAGE_SIZE)]
    writes = [(FREE + at, b"\1") for at in (0xF, 0x10, 0x1F, 0x20, 2 * PAGE_SIZE - 1, 3 * PAGE_SIZE, 4 * PAGE_SIZE)]
    residue = found(*writes, usable=usable)
    assert [(one.base - FREE, len(one.data)) for one in residue.ranges] == [(0x10, 1), (0x1F, 1), (3 * PAGE_SIZE, 1)]
    assert residue.scanned_bytes == 0x10 + 2 * PAGE_SIZE


def test_the_image_is_compared_from_where_a_usable_part_begins() -> None:
    image = (segment(TEXT, IMAGE),)
    assert found((TEXT, IMAGE), image=image, usable=[range(TEXT + 0x100, TEXT + 0x200)]).ranges == ()
