"""The hash engine: SHA-256 by DMA, in virtual time."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from machine.bus.ram import Ram
from machine.devices.engines.hash_engine import BAD_RANGE, BLOCK_NS, DONE, ID, HashEngine
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState


def command(engine: HashEngine, base: int, length: int) -> None:
    for offset, value in ((0x08, base), (0x0C, length), (0x10, 1)):
        engine.write(offset, 4, value)


def digest(engine: HashEngine, size: int) -> bytes:
    return b"".join(engine.read(0x20 + at, size).to_bytes(size, "little") for at in range(0, 32, size))


@given(
    content=st.binary(max_size=300),
    at=st.integers(0, 0x2000),
    length=st.integers(0, 0x1_2000),
    size=st.sampled_from([1, 4, 8]),
)
def test_the_digest_is_that_of_the_range_and_takes_time_by_the_block(
    content: bytes, at: int, length: int, size: int
) -> None:
    ram, clock = Ram(0x1_0000), Clock(HookState(deadline=NEVER))
    engine = HashEngine(ram, clock)
    ram.write(at, content)
    before = ram.read(0, ram.size)
    command(engine, at, length)
    assert ram.read(0, ram.size) == before
    if at + length > ram.size:
        assert (engine.read(4, 4), digest(engine, size), clock.now_ns) == (DONE | BAD_RANGE, bytes(32), 0)
        return
    assert (engine.read(0, 4), engine.read(4, 4)) == (ID, DONE)
    assert digest(engine, size) == hashlib.sha256(before[at : at + length]).digest()
    assert clock.now_ns == (length + 9 + 63) // 64 * BLOCK_NS


def test_a_reset_forgets_range_and_digest() -> None:
    engine = HashEngine(Ram(0x1000), Clock(HookState(deadline=NEVER)))
    command(engine, 0, 8)
    assert digest(engine, 4) != bytes(32)
    engine.reset()
    assert (digest(engine, 4), engine.read(4, 4), engine.read(0x08, 4), engine.read(0, 4)) == (bytes(32), 0, 0, ID)
