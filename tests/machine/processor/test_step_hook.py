"""The instruction hook: one set of rules, in native code for two processors and in Python.

The native code of both processors runs here under Unicorn, whatever the host, against the rules in Python.
"""

from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from unicorn import x86_const

from machine.architecture.decoding import Instruction, MemoryOperand, action, decode
from machine.architecture.opcodes import Action
from machine.processor.native.build import ARCHITECTURES, build
from machine.processor.native.loading import ENTRY_POINTS
from machine.processor.portable_hook import SEGMENT_BASE_IDS
from machine.processor.step_hook import NEVER, REGISTER_IDS, HookState, Stop
from machine.processor.unusual_operands import unusual_operands
from tests.machine.native_code import BLOBS, CONTEXT, VECTOR_IDS, Blob

EFLAGS = x86_const.UC_X86_REG_EFLAGS


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", ENTRY_POINTS)
def test_the_committed_code_is_what_the_source_builds(source: str, architecture: str) -> None:
    built = build(BLOBS / f"{source}.c", ENTRY_POINTS[source], architecture)
    assert built == (BLOBS / f"{source}.{architecture}.bin").read_bytes()


BOTH = {name: Blob(name) for name in ARCHITECTURES}
EXPECTED = {
    Action.SYSTEM: [
        "0f22d8", "0f30", "0f31", "0f32", "0f011500000000", "480f011d00000000", "0f00d8", "0f06", "660f0110", "0f23f8",
        "0f21f8", "440f20c0", "0f20d0", "0f05", "480f07", "0f34", "0f35", "f1", "0f33", "0f0138", "0f01f8", "0f01f9",
        "cb", "ca0000", "48cb", "ff2d00000000", "48ff28", "ff18", "d8c1", "9b", "660f3a63c100", "0fae10", "0fae18",
        "8ed8", "0fa9", "0fa2", "0f00e0", "0f02c0", "0f01c8", "f6c801", "f390", "f20f38f0c1", "f30f53c1", "c4e278f3d9",
    ],
    Action.SYSTEM | Action.INTERRUPT_RETURN: ["cf", "48cf", "66cf"],
    Action.PORT: ["ec", "66ed", "e480", "e780", "6c", "666f"],
    Action.PORT | Action.LOOK: ["f36c", "f26d", "f36f"],
    Action.SYSTEM | Action.DESCRIPTOR: ["0f0100", "0f0108"],
    Action.DESCRIPTOR: ["0f00c0", "0f00c8", "0f0120"],
    Action.FLAGS: ["9d"],
    Action.LOCKABLE | Action.MODIFIES: ["0108", "48ffc1", "f00108", "f00fb008", "f0ff00", "f0f710"],
    Action.MODIFIES | Action.LOOK: ["0fa4c101"],
    Action.LOCKABLE | Action.MODIFIES | Action.LOOK: ["0fb1c1", "0fc70f", "f0f718", "f00fb108"],
    Action.LOOK: [
        "9f", "40c600ff", "ff2500000000", "7500", "e800000000", "0f8400000000", "f30fb8c1", "f30f10c1", "c4e278f7c1",
        "c4e278f3c9", "c4e2fbf6c1",
    ],
    Action.FLOATS: ["f20f58c1", "0f2fc1", "660f3a0bc100"],
    Action.FLOATS | Action.ALIGNED: ["0f58c1", "660f5ac1"],
    Action.ALIGNED: ["0f28c1", "660f6f01", "660f3800c1"],
    Action.ALIGNED | Action.LOOK: ["660f3802c1", "f30f16c1"],
    Action.WIDE: ["0f1001"],
    Action.WIDE | Action.LOOK: ["f30f6f01", "f20ff001"],
    Action.MMX: ["0f6fc1", "0f77", "0f71d001"],
    Action.MMX | Action.LOOK: ["0f3802c1", "f30fd6c1"],
    Action.UNDEFINED: [
        "ea000000000800", "9a000000000800", "06", "0f04", "0fc7f0", "480fc7f8", "f30fc7f8", "8fc8", "f089c8",
        "f001c8", "f0ff10", "c5f877", "c4e27df3d9", "66c4e278f3d9", "62f17c4858c1", "0f38f0c8", "0fae20",
        "660fae38", "f30faef0", "f20faef1", "c6f800", "c7f800000000", "0fff", "0fb9c0", "0f0f",
    ],
    Action.NONE: [
        "90", "cd80", "ff30", "480fb6c0",
        "0f1f00", "f30f1efa", "660f38f001",
    ],
}  # fmt: skip
KNOWN = [(bytes.fromhex(code), kind) for kind, codes in EXPECTED.items() for code in codes]


@pytest.mark.parametrize(("code", "kind"), KNOWN, ids=lambda value: value.hex() if isinstance(value, bytes) else "")
def test_instructions_to_be_looked_at_are_known(code: bytes, kind: Action) -> None:
    assert Action(action(code)) == kind


@given(st.binary(min_size=1, max_size=8))
def test_a_byte_of_40_to_4f_is_a_prefix_in_64_bit_mode_only(code: bytes) -> None:
    assert action(b"\x44" + code, long=False) == action(b"\x44", long=False) == Action.NONE
    legacy = code[0] in b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3" or code[0] in b"\xc4\xc5"
    assert legacy or code[0] & 0xF0 == 0x40 or action(b"\x44" + code) == action(code)


def linear_address(operand: MemoryOperand, registers: dict[int, int], following: int, bits: int) -> int:
    at = operand.displacement + (following if operand.relative else 0)
    at += 0 if operand.base is None else registers[REGISTER_IDS[operand.base]]
    at += 0 if operand.index is None else registers[REGISTER_IDS[operand.index]] * operand.scale
    return at % (1 << bits) + registers.get(SEGMENT_BASE_IDS.get(operand.segment, -1), 0)


def misplaced(state: HookState, address: int, code: bytes, registers: dict[int, int]) -> bool:
    found = decode(code, long=bool(state.long_mode))
    if found is None or not isinstance(found.operand, MemoryOperand):
        return False
    if not state.long_mode:
        return True
    at = linear_address(found.operand, registers, address + len(code), found.operand.address_bits)
    return bool(found.action & Action.ALIGNED and at % 16) or at % 4096 > 4096 - 16


@dataclass(frozen=True)
class Operands:
    """Operands of the instruction at `address`, for machine/processor/unusual_operands.py."""

    registers: dict[int, int]
    following: int
    blob: Blob
    repeats: bool

    @property
    def stepping(self) -> bool:
        return bool(self.registers[EFLAGS] & 0x100)

    def general(self, number: int) -> int:
        return self.registers[REGISTER_IDS[number]]

    def vector(self, number: int) -> int:
        return self.registers[VECTOR_IDS[number]]

    def memory(self, instruction: Instruction, size: int) -> int | None:
        assert isinstance(instruction.operand, MemoryOperand)
        operand = instruction.operand
        at = linear_address(operand, self.registers, self.following, operand.address_bits)
        return int.from_bytes(self.blob.content(at, size), "little")


def seen(code: bytes, *, long: bool) -> bytes:
    """The bytes examined by the hook: those that Unicorn decoded as the instruction, or more if these are too few."""
    return code if action(code, long=long) else code.ljust(15, b"\0")


def expected(
    state: HookState, address: int, registers: dict[int, int], code: bytes, size: int, blob: Blob
) -> Stop | None:
    """The rules restated: the first that applies stops."""
    if state.retired >= min(state.deadline, state.pause):
        return Stop.DEADLINE if state.retired >= state.deadline else Stop.WARM
    if state.debt > 2 * state.credit and address != state.pass_watched:
        return Stop.DEADLINE
    if state.watch_if and registers[EFLAGS] & 0x200:
        return Stop.INTERRUPTS_ENABLED
    passed = (state.passing, state.passing_address) == (state.retired, address)
    if address in state.address[: state.addresses] and not passed:
        return Stop.ADDRESS
    if address != state.pass_once:
        if address == state.breakpoint:
            return Stop.BREAKPOINT
        if state.debugging and address in state.debug_address:
            return Stop.DEBUG
    if address == state.pass_watched:
        return None
    found = action(code, long=bool(state.long_mode))
    if found & state.watched:
        return Stop.WATCHED_INSTRUCTION
    if found & (Action.ALIGNED | Action.WIDE) and misplaced(state, address, code, registers):
        return Stop.WATCHED_INSTRUCTION
    instruction = decode(code, long=bool(state.long_mode))
    if found & (Action.FLOATS | Action.LOOK) and instruction is not None:
        operands = Operands(registers, address + size, blob, state.last == address)
        if unusual_operands(instruction, operands, state.mxcsr):
            return Stop.WATCHED_INSTRUCTION
    return None


addresses = st.sampled_from([0x1000, 0x1003, 0x1FFE, 0x7FFF_FFFF_F000, 0xFFFF_8000_0000_0000, NEVER - 20])
looked_at = st.builds(
    lambda prefix, opcode, modrm, rest: prefix + opcode + bytes([modrm]) + rest,
    st.sampled_from([b"", b"\x66", b"\xf3", b"\xf2", b"\x66\xf3", b"\x45", b"\x48", b"\xf2\x66\x4d"]),
    st.sampled_from(
        [
            bytes.fromhex(code)
            for code in "0f58 0f59 0f5d 0f51 0f5a 0f2e 0f7c 0fd0 0fb1 0fb8 0f10 0f3802 0f3800 0f84".split()
        ]
        + [bytes.fromhex(code) for code in "0fc2 0f3a0b 90 9f c6 c7 eb e8 ff c4e278f7 c4e2f8f5 c4e27bf5".split()]
    ),
    st.sampled_from([0xC1, 0xC8, 0xC9, 0xC0, 0x00, 0x05, 0xD1, 0x10]),
    st.binary(min_size=6, max_size=6),
)
vectors = st.builds(
    lambda prefix, opcode, rest: prefix + b"\x0f" + opcode + rest,
    st.sampled_from([b"", b"\x66", b"\x67\x66", b"\xf3\x42", b"\x65", b"\x64\x66\x4b", b"\xf2"]),
    st.sampled_from([b"\x10", b"\x28", b"\x58", b"\x6f", b"\xf0", b"\xe7"]),
    st.binary(min_size=6, max_size=6),
)


def alone(code: bytes) -> bytes:
    """Without the bytes after the instruction, if its end is known."""
    found = decode(code)
    return code if found is None else found.code


instructions = st.one_of(
    st.sampled_from([code for code, _ in KNOWN]), st.binary(min_size=1, max_size=15), vectors, looked_at
).map(alone)
floats = st.sampled_from(
    [
        0,
        1,
        1 << 31,
        1 << 32,
        0x7F80_0000,
        0x7FC0_0000_3F80_0000,
        (0x7FF8 << 48) + 1,
        0x7F80_0001 << 96,
        1 << 126 | 1 << 62,
    ]
)
numbers = st.sampled_from([0, 1, 1 << 32, 8, 16, 0xFF0, 0xFF8, 0x7FFF_FFF0, 2**64 - 16, 2**64 - 8])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=400)
@given(
    fields=st.fixed_dictionaries(
        {
            "retired": st.integers(0, 3),
            "deadline": st.sampled_from([0, 1, 2, NEVER]),
            "pause": st.sampled_from([0, 3, NEVER]),
            "long_mode": st.booleans(),
            "mxcsr": st.sampled_from([0x1F80, 0x1F82, 0x1FC0, 0x1FA0, 0x9F80, 0x1F00]),
            "watch_if": st.booleans(),
            "watched": st.sampled_from([0, 1, 3, 31, 1025, 8193, 2047 & ~768]),
            "breakpoint": addresses,
            "pass_once": addresses,
            "pass_watched": addresses,
            "debugging": st.booleans(),
            "addresses": st.integers(0, 4),
            "passing": st.integers(0, 3),
            "passing_address": addresses,
            "last": addresses,
            "debt": st.sampled_from([0, 20, 21]),
            "credit": st.just(10),
        }
    ),
    debugged=st.lists(addresses, min_size=4, max_size=4),
    address=addresses,
    code=instructions,
    registers=st.fixed_dictionaries(
        {EFLAGS: st.sampled_from([2, 0x202])}
        | dict.fromkeys((*REGISTER_IDS, *SEGMENT_BASE_IDS.values()), numbers)
        | dict.fromkeys(VECTOR_IDS, floats)
    ),
)
def test_native_code_keeps_the_rules(
    architecture: str, fields: dict[str, int], debugged: list[int], address: int, code: bytes,
    registers: dict[int, int],
) -> None:  # fmt: skip
    state = HookState(**fields)
    cut = decode(code, long=bool(state.long_mode)) is None
    operands_matter = Action.ALIGNED | Action.WIDE | Action.LOOK | Action.FLOATS
    assume(not (cut and action(code, long=bool(state.long_mode)) & operands_matter))  # it faults either way
    for index, value in enumerate(debugged):
        state.debug_address[index] = value
        state.address[index] = value
    retired, passed = state.retired, (state.pass_once, state.pass_watched)
    blob = BOTH[architecture]
    blob.place(address, code)
    read = seen(code, long=bool(state.long_mode))
    stop = expected(state, address, registers, read, len(code), blob)
    stopped = blob.on_instruction(state, address, len(code), registers, code)
    if stop is not None:
        assert (stopped, state.reason, state.retired) == (True, stop, retired)
        assert (blob.saved, state.rflags) == (CONTEXT, registers[EFLAGS])
        if stop is Stop.WATCHED_INSTRUCTION:
            assert bytes(state.code[: state.code_size]).startswith(read)
    else:
        assert (stopped, state.retired, state.last) == (False, retired + 1, address)
        left = tuple(NEVER if address == one else one for one in passed)
        assert (state.pass_once, state.pass_watched) == left


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_code_that_changes_is_seen_to_change(architecture: str) -> None:
    """Nothing about an instruction is cached, only the address of its page."""
    unset = dict.fromkeys(("deadline", "pause", "breakpoint", "pass_once", "pass_watched"), NEVER)
    state = HookState(watched=1, **unset)
    assert not BOTH[architecture].on_instruction(state, 0x1000, 1, {}, b"\x90")
    assert BOTH[architecture].on_instruction(state, 0x1000, 3, {EFLAGS: 2}, b"\x0f\x22\xd8")
