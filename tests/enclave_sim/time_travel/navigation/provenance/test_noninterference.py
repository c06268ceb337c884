"""Non-interference: a value depends only on what provenance says that it depends on.

Straight programs of random instructions run in ring 3, after inputs that set their registers and memory. The oracle is
another run. After a change of all initial bytes that the tree of a value does not name, the value is the same. If the
instructions only move bytes, a change of one byte that it names changes the value.
"""

import functools
import struct
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.inputs import MemoryWrite, RegisterWrite
from enclave_sim.memory_map import region
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.navigation.provenance.answers import End, Role, Value
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, Place
from enclave_sim.time_travel.position import Position
from machine.architecture.processor_state import GENERAL_REGISTERS

SLOTS = 8
"""Words of eight bytes in memory, at the beginning of the heap."""
REGISTERS = (0, 1, 2, 3, 6, 7, 8, 9, 10, 11)
"""RAX, RCX, RDX, RBX, RSI, RDI, R8 to R11. R12 has the address of the memory."""
BASE = 12
CODE, DATA = region("staging").base, region("heap").base
Initial = dict[tuple[str, int], int]
"""Initial bytes: by register and number, or `memory` and address."""


def rex(wide: bool, reg: int, operand: int) -> int:
    return 0x40 | wide << 3 | reg >> 3 << 2 | operand >> 3


def between(opcode: bytes, reg: int, operand: int, *, wide: bool = True, prefix: bytes = b"") -> bytes:
    return prefix + bytes([rex(wide, reg, operand)]) + opcode + bytes([0xC0 | (reg & 7) << 3 | operand & 7])


def memory(opcode: bytes, reg: int, offset: int, *, wide: bool = True, prefix: bytes = b"") -> bytes:
    """An instruction on [R12 + offset]."""
    return prefix + bytes([rex(wide, reg, BASE)]) + opcode + bytes([0x44 | (reg & 7) << 3, 0x24, offset])


def moves(draw: Random) -> bytes:
    a, b, slot = draw.choice(REGISTERS), draw.choice(REGISTERS), 8 * draw.randrange(SLOTS) + draw.randrange(2)
    slot = min(slot, 8 * SLOTS - 8)
    return draw.choice(
        [
            between(b"\x8b", a, b),  # mov
            between(b"\x8b", a, b, wide=False),
            between(b"\x8b", a, b, wide=False, prefix=b"\x66"),
            between(b"\x8a", a, b, wide=False),
            between(b"\x0f\xb6", a, b),  # movzx
            between(b"\x87", a, b),  # xchg
            bytes([rex(True, 0, a), 0x0F, 0xC8 | a & 7]),  # bswap
            memory(b"\x8b", a, slot),
            memory(b"\x89", a, slot),
            memory(b"\x8b", a, slot, wide=False),
            memory(b"\x89", a, slot, wide=False),
            memory(b"\x88", a, slot, wide=False),
            bytes([0x41, 0x50 | a & 7] if a > 7 else [0x50 | a]) + bytes([0x41, 0x58 | b & 7] if b > 7 else [0x58 | b]),
            between(b"\x0f\x6e", draw.randrange(4), a, prefix=b"\x66"),  # movq xmm, r
            between(b"\x0f\x7e", draw.randrange(4), a, prefix=b"\x66"),
        ]
    )


def computes(draw: Random) -> bytes:
    a, b, slot = draw.choice(REGISTERS), draw.choice(REGISTERS), 8 * draw.randrange(SLOTS)
    wide, opcode = draw.random() < 0.5, bytes([draw.choice([0x03, 0x0B, 0x13, 0x1B, 0x23, 0x2B, 0x33, 0x3B])])
    x, y = draw.randrange(4), draw.randrange(4)
    packed = bytes([0x0F, draw.choice([0xFE, 0xEF, 0xDB, 0xEB, 0xD4, 0x62, 0x6C, 0x75, 0xF4, 0xFC])])
    return draw.choice(
        [
            between(opcode, a, b, wide=wide),
            between(bytes([opcode[0] & 0xFE]), a, b, wide=False),
            memory(opcode, a, slot, wide=wide),
            memory(bytes([opcode[0] ^ 2]), a, slot, wide=wide),
            between(b"\x81", draw.choice([0, 1, 4, 5, 6]), a, wide=wide) + struct.pack("<i", draw.getrandbits(31)),
            between(b"\x83", 4, a, wide=wide) + bytes([draw.choice([0, 0x0F, 0x7F, 0xF0])]),
            between(b"\xc1", draw.choice([0, 1, 2, 3, 4, 5, 7]), a, wide=wide) + bytes([draw.randrange(64)]),
            between(b"\xd3", draw.choice([0, 1, 2, 3, 4, 5, 7]), a, wide=wide),
            between(b"\x0f\xaf", a, b, wide=wide),
            between(b"\xf7", draw.choice([2, 3, 4, 5]), a, wide=wide),  # not, neg, mul, imul
            between(b"\x0f" + bytes([0x40 | draw.randrange(16)]), a, b, wide=wide),  # cmov
            between(b"\x0f" + bytes([0x90 | draw.randrange(16)]), 0, a, wide=False),  # setcc
            between(b"\x0f\xa4", a, b, wide=wide) + bytes([draw.randrange(32)]),  # shld
            between(b"\x0f" + bytes([draw.choice([0xBC, 0xBD])]), a, b, wide=wide),  # bsf, bsr
            between(b"\x0f\xc1", a, b, wide=wide),  # xadd
            between(b"\x0f\xb1", a, b, wide=wide),  # cmpxchg
            memory(b"\x0f\xb1", a, slot, wide=wide),
            between(b"\x0f\xb3", a, b, wide=wide),  # btr
            bytes([0x48, 0x8D, 0x04 | 0 << 3, draw.choice([0x08, 0x11, 0x5A, 0xB7])]),  # lea rax, [two registers]
            draw.choice([b"\x98", b"\x48\x98", b"\x99", b"\x48\x99", b"\x9f", b"\x9e", b"\xf9", b"\xf5"]),
            between(packed, x, y, wide=False, prefix=b"\x66"),
            between(b"\x0f\x70", x, y, wide=False, prefix=b"\x66") + bytes([draw.getrandbits(8)]),  # pshufd
            between(b"\x0f\x38\xf0", a, b, wide=wide, prefix=b"\xf2"),  # crc32
            moves(draw),
        ]
    )


@functools.cache
def session() -> Session:
    run = Session(b"\xeb\xfe", engine="native")
    run.run_to(address=CODE)
    return run


@functools.cache
def start() -> Position:
    return session().now


def initial(draw: Random) -> Initial:
    """Random initial bytes."""
    found = {(GENERAL_REGISTERS[number], index): draw.getrandbits(8) for number in REGISTERS for index in range(8)}
    return found | {(MEMORY, DATA + index): draw.getrandbits(8) for index in range(8 * SLOTS)}


def run_program(code: bytes, given: Initial) -> Session:
    """Run a program with some initial bytes, to its end."""
    run = session()
    run.go_to(start())
    run.take(MemoryWrite(at_ns=0, address=CODE, data=(code + b"\x90\xeb\xfe").hex()))
    run.take(MemoryWrite(at_ns=0, address=DATA, data=bytes(given[MEMORY, DATA + n] for n in range(8 * SLOTS)).hex()))
    run.take(RegisterWrite(at_ns=0, register="r12", value=DATA))
    for number in REGISTERS:
        name = GENERAL_REGISTERS[number]
        value = int.from_bytes(bytes(given[name, index] for index in range(8)), "little")
        run.take(RegisterWrite(at_ns=0, register=name, value=value))
    run.run_to(address=CODE + len(code))
    return run


class Claims(NamedTuple):
    """The initial bytes that a tree names, and whether it names all of them."""

    named: frozenset[tuple[str, int]]
    complete: bool


def claims(value: Value) -> Claims:
    named: set[tuple[str, int]] = set()
    kinds: set[End] = set()
    _collect(value, named, kinds)
    return Claims(frozenset(named), not kinds & {End.LIMIT, End.NOT_MODELLED})


def _collect(value: Value, named: set[tuple[str, int]], kinds: set[End]) -> None:
    if value.limit is not None:
        kinds.add(value.limit.kind)
    for origin in value.origins:
        if origin.ending is not None:
            kinds.add(origin.ending.kind)
            if origin.ending.kind is End.INPUT:
                named.update((origin.place.space, index) for index in range(origin.place.start, origin.place.end))
        for source in origin.sources:
            if source.ending is not None:
                kinds.add(source.ending.kind)
            elif source.value is not None and source.role is not Role.ADDRESS:
                _collect(source.value, named, kinds)


PLACES = (
    *(Place(GENERAL_REGISTERS[number], 0, 8) for number in REGISTERS),
    *(Place(MEMORY, DATA + 8 * index, 8) for index in range(SLOTS)),
)


def content(run: Session, place: Place) -> bytes:
    if place.in_memory:
        return run.machine.ram.read(place.start, place.size)
    return int(getattr(run.machine.cpu.registers, place.space)).to_bytes(8, "little")


FOLLOWED = (Role.DATA, Role.FLAGS)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(1, 10))
def test_a_value_does_not_depend_on_what_its_tree_does_not_name(draw: Random, count: int) -> None:
    code = b"".join(computes(draw) for _ in range(count))
    given = initial(draw)
    run = run_program(code, given)
    values = [run.where_from(place, depth=60, follow=FOLLOWED) for place in PLACES]
    known = [(value, found.named) for value in values if (found := claims(value)).complete]
    for group in PLACES:
        keys = {(group.space, index) for index in range(group.start, group.end)}
        other = run_program(code, given | {key: draw.getrandbits(8) for key in sorted(keys)})
        for value, named in known:
            if not named & keys:
                assert content(other, value.place) == value.content, (str(value.place), str(group), code.hex())


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(1, 14))
def test_a_value_that_was_only_moved_depends_on_all_that_its_tree_names(draw: Random, count: int) -> None:
    code = b"".join(moves(draw) for _ in range(count))
    given, place = initial(draw), draw.choice(PLACES)
    value = run_program(code, given).where_from(place, depth=60)
    found = claims(value)
    assert found.complete
    assert len(found.named) <= place.size
    for key in sorted(found.named):
        assert content(run_program(code, given | {key: given[key] ^ 0xFF}), place) != value.content, code.hex()
    unnamed = {key: byte if key in found.named else byte ^ 0xFF for key, byte in given.items()}
    assert content(run_program(code, unnamed), place) == value.content, code.hex()
