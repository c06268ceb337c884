"""`Cpu.watch_memory` and `Cpu.watch_blocks`: what observers of a run are told."""

import struct

import pytest

from machine.machine import Machine, MachineConfiguration, Outcome

CODE, DIRECTORY = 0x1000, 0x3000
LINEAR, PHYSICAL = 0x80_0010, 0x40_0010
PAGING = (
    b"\xbf" + struct.pack("<I", DIRECTORY),  # mov $DIRECTORY, %edi
    bytes.fromhex("c70783000000 c7470883004000"),  # 4 MiB pages: 0 to 0, and 800000H to 400000H
    bytes.fromhex("0f22df b810000000 0f22e0 0f20c0 0d00000080 0f22c0"),  # CR3; CR4.PSE; CR0.PG
)
END = bytes.fromhex("b02a e6f4")  # mov $42, %al; out %al, $0xF4


def machine(*code: bytes, portable: bool = False) -> Machine:
    made = Machine(MachineConfiguration(ram_size=16 << 20, portable=portable))
    made.ram.write(CODE, b"".join((*code, END)))
    made.start(CODE, {})
    return made


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize(("reads", "expected"), [(True, [False, True, False]), (False, [True])])
def test_accesses_are_reported_by_physical_address(portable: bool, reads: bool, expected: list[bool]) -> None:
    load = b"\xa1" + struct.pack("<I", LINEAR)  # mov LINEAR, %eax
    store = b"\xc7\x05" + struct.pack("<II", LINEAR, 7)
    elsewhere = b"\xa3" + struct.pack("<I", LINEAR + 64)
    made = machine(*PAGING, load, store, elsewhere, load, portable=portable)
    seen: list[tuple[bool, int, int]] = []
    made.cpu.watch_memory(
        range(PHYSICAL, PHYSICAL + 4), lambda writes, address, size: seen.append((writes, address, size)), reads=reads
    )
    assert made.run(limit_ns=10_000) is Outcome.STOPPED
    assert seen == [(writes, PHYSICAL, 4) for writes in expected]


def test_an_access_that_begins_before_the_range_is_reported() -> None:
    store = b"\xc7\x05" + struct.pack("<II", PHYSICAL - 3, 7)
    made = machine(store)
    seen: list[int] = []
    made.cpu.watch_memory(
        range(PHYSICAL, PHYSICAL + 1), lambda _writes, address, _size: seen.append(address), reads=False
    )
    made.run(limit_ns=10_000)
    assert seen == [PHYSICAL - 3]


def test_blocks_are_reported_when_they_are_entered() -> None:
    loop = bytes.fromhex("b903000000 49 75fd")  # mov $3, %ecx; 1: dec %ecx; jnz 1b
    made = machine(loop)
    entered: list[tuple[int, int]] = []
    made.cpu.watch_memory(range(1), lambda *_: None)
    end = made.cpu.watch_blocks(lambda address, size: entered.append((address, size)))
    made.run(limit_ns=10_000)
    assert entered[:3] == [(CODE, 8), (CODE + 5, 3), (CODE + 5, 3)]
    assert entered[3][0] == CODE + 8
    end()
    count = len(entered)
    made.run(limit_ns=20_000)
    assert len(entered) == count
