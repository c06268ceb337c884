"""RAM is mapped in ranges, of which software sees nothing: code, loads and stores across their ends."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.boot import loader
from machine.machine import Machine, MachineConfiguration, Outcome
from machine.processor.code_pages import boundaries
from tests.bench_machine import small_kernel_image
from tests.sampling import sampled

SIZE = 8 << 20
ENDS = boundaries(SIZE)[1:-1]


@given(st.integers(1, 1 << 24).map(lambda pages: pages * 4096))
def test_the_ranges_are_all_of_ram_and_at_most_half_of_it_is_in_one_above_2_mib(size: int) -> None:
    ends = boundaries(size)
    assert ends == sorted(set(ends))
    assert (ends[0], ends[-1]) == (0, size)
    largest = max(end - start for start, end in pairwise(ends))
    assert largest <= max(1 << 20, size // 2 + 4096)


@pytest.mark.parametrize("portable", sampled([False, True], False), ids=["native", "portable"])
@pytest.mark.parametrize("end", ENDS, ids=hex)
@pytest.mark.parametrize("before", range(1, 5))
def test_code_and_operands_lie_across_an_end(end: int, before: int, portable: bool) -> None:
    machine = Machine(MachineConfiguration(SIZE, portable=portable))
    loader.load(machine, small_kernel_image())
    other = next(one for one in ENDS if one != end)
    source, target = other - before, other + 0x800
    machine.ram.write(source, b"\x11\x22\x33\x44\x55\x66\x77\x88")
    load = b"\xa1" + source.to_bytes(4, "little")  # MOV EAX, [source]
    store = b"\xa3" + target.to_bytes(4, "little") + b"\xa3" + (other - 2).to_bytes(4, "little")
    at = end - before
    machine.ram.write(at, load + store + b"\xf4")  # HLT
    machine.cpu.write_register("RIP", at)
    assert machine.run() is Outcome.HALTED
    assert machine.ram.read(target, 4) == b"\x11\x22\x33\x44"
    assert machine.ram.read(other - 2, 4) == b"\x11\x22\x33\x44"
