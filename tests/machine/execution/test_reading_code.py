"""Looking at code sets no accessed flag that executing it does not set."""

import struct

import pytest

from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine, MachineConfiguration

ACCESSED = 1 << 5
DIRECTORY, TABLE, CODE = 0x2000, 0x3000, 0x10_0000
LOOP = CODE + PAGE_SIZE - 11
"""Within the longest instruction's length of the end of its page."""
ROUNDS = 3000
BEGINNING = bytes.fromhex("b800200000 0f22d8 0f20c0 0d00000080 0f22c0 b9") + struct.pack("<I", ROUNDS)
"""Turn on paging with the tables of `machine`; ECX counts rounds."""


def machine(*, portable: bool) -> Machine:
    """Return a machine whose program loops near the end of a page that another mapped page follows."""
    made = Machine(MachineConfiguration(1 << 21, portable=portable))
    made.ram.write(DIRECTORY, struct.pack("<I", TABLE | 3))
    made.ram.write(TABLE, b"".join(struct.pack("<I", page | 3) for page in range(0, 1 << 21, PAGE_SIZE)))
    jump = b"\xe9" + struct.pack("<i", LOOP - CODE - len(BEGINNING) - 5)
    made.ram.write(CODE, BEGINNING + jump)
    made.ram.write(LOOP, bytes.fromhex("40 40 e2fc ebfe"))
    made.start(CODE, {})
    return made


@pytest.mark.parametrize("stops", [0, 7, 700], ids=["one run", "stops", "rare stops"])
@pytest.mark.parametrize("way", ["by instruction", "by block", "by default", "portable"])
def test_the_page_after_the_code_is_not_accessed(way: str, stops: int) -> None:
    made = machine(portable=way == "portable")
    if way != "by default":
        made.cpu.hook.warm_up = 0 if way == "by block" else 1 << 62
    limit = 3 * ROUNDS + 100
    while made.clock.now_ns < limit:
        made.run(min(limit, made.clock.now_ns + stops) if stops else limit)
    assert made.cpu.registers.rcx == 0
    entries = struct.unpack("<512I", made.ram.read(TABLE, 2048))
    assert entries[CODE // PAGE_SIZE] & ACCESSED
    assert not entries[CODE // PAGE_SIZE + 1] & ACCESSED
