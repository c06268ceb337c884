"""PCMPxSTRx against a model that follows the text of SDM volume 2, 4.1 step by step, and the host's processor."""

import random
from collections.abc import Iterator

import pytest

from machine.instructions.simd.string_comparison import StringComparison, compare, explicit_length, implicit_length
from tests.machine.instructions.programs import Program, State, UserMachine, differences, host_only, on_host

ESTRM, ESTRI, ISTRM, ISTRI = range(0x60, 0x64)
ALPHABETS = ([0, 1], [1, 2], [1, 2, 3, 0xFF], [0, 0x41, 0x42], [0x7F, 0x80, 1], list(range(256)))
LENGTHS = (0x8000_0000, 1 << 63, 1 << 32, (1 << 64) - 3, 0xFFFF_FFFD)


def overridden(aggregation: int, valid_a: bool, valid_b: bool, equal: bool) -> bool:
    """Table 4-7: the result of a comparison with one or two invalid elements."""
    if valid_a and valid_b:
        return equal
    if aggregation in (0, 1):
        return False
    if aggregation == 2:
        return not valid_a and not valid_b
    return not valid_a


def by_the_text(a: int, length_a: int, b: int, length_b: int, immediate: int) -> StringComparison:
    """All pairs are compared, then aggregated, then the polarity, then the output."""
    width, count = (16, 8) if immediate & 1 else (8, 16)

    def element(value: int, lane: int) -> int:
        found = value >> width * lane & (1 << width) - 1
        return found - (1 << width) if immediate & 2 and found >> width - 1 else found

    aggregation = immediate >> 2 & 3
    result = 0
    for j in range(count):
        pairs = []
        for i in range(count):
            x, y = element(a, i), element(b, j + i if aggregation == 3 else j)
            valid_b = (j + i if aggregation == 3 else j) < length_b
            holds = (y >= x if i % 2 == 0 else y <= x) if aggregation == 1 else x == y
            pairs.append(overridden(aggregation, i < length_a, valid_b, holds))
        if aggregation == 0:
            bit = any(pairs)
        elif aggregation == 1:
            bit = any(pairs[i] and pairs[i + 1] for i in range(0, count, 2))
        elif aggregation == 2:
            bit = pairs[j]
        else:
            bit = all(pairs[: count - j])
        result |= bit << j
    for j in range(count):
        if immediate & 0x10 and (not immediate & 0x20 or j < length_b):
            result ^= 1 << j
    set_bits = [j for j in range(count) if result >> j & 1]
    index = count if not set_bits else set_bits[-1 if immediate & 0x40 else 0]
    mask = sum((1 << width) - 1 << width * j for j in set_bits) if immediate & 0x40 else result
    flags = bool(result) | (length_b < count) << 6 | (length_a < count) << 7 | (result & 1) << 11
    return StringComparison(index, mask, flags)


def strings(rng: random.Random) -> tuple[int, int]:
    alphabet = rng.choice(ALPHABETS)
    a, b = (bytes(rng.choice(alphabet) for _ in range(16)) for _ in range(2))
    if rng.random() < 0.5:  # a part of the one in the other
        at, length = rng.randrange(16), rng.randrange(17)
        b = (b[:at] + a[:length] + b[at + length :])[:16].ljust(16, b"\1")
        a = a[:length] + bytes(16 - length)
    return int.from_bytes(a, "little"), int.from_bytes(b, "little")


@pytest.mark.slow
def test_every_immediate_compares_as_the_text_says() -> None:
    rng = random.Random(1)
    for immediate in range(128):
        count = 8 if immediate & 1 else 16
        for _ in range(40):
            a, b = strings(rng)
            lengths = [rng.randrange(count + 1) for _ in range(2)]
            assert compare(a, lengths[0], b, lengths[1], immediate) == by_the_text(
                a, lengths[0], b, lengths[1], immediate
            )


def test_lengths_saturate() -> None:
    assert explicit_length(0x8000_0000, wide=False, words=False) == 16
    assert explicit_length(1 << 63, wide=True, words=True) == 8
    assert explicit_length(1 << 32 | 3, wide=False, words=False) == 3
    assert explicit_length(1 << 32 | 3, wide=True, words=False) == 16
    assert explicit_length(-5 & 2**64 - 1, wide=False, words=False) == 5
    assert implicit_length(0x0042_0041, words=True) == 2
    assert implicit_length(2**128 - 1, words=True) == 8


def programs(seed: int, count: int) -> Iterator[Program]:
    rng = random.Random(seed)
    for _ in range(count):
        code = b"\x66" + rng.choice((b"", b"\x48")) + bytes([0x0F, 0x3A, rng.randrange(ESTRM, ISTRI + 1), 0xCA])
        a, b = strings(rng)
        lengths = [rng.choice((*LENGTHS, rng.randrange(20), rng.getrandbits(64))) for _ in range(2)]
        general = (lengths[0], 0x1111_2222_3333_4444, lengths[1], *(0,) * 13)
        start = State(general, (rng.getrandbits(128), a, b, *(0,) * 13), rflags=0x202 | rng.getrandbits(12) & 0x8D5)
        yield Program(code + bytes([rng.getrandbits(8)]), start)


@host_only
def test_the_machine_is_the_host(user_machine: UserMachine) -> None:
    cases = list(programs(2, 400))
    for program, end in zip(cases, on_host(cases), strict=True):
        assert differences(user_machine.run(program), end) == {}, program
