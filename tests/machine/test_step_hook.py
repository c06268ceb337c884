"""The instruction hook: one set of rules, in native code for two processors and in Python.

The native code of both processors runs here under Unicorn, whatever the host, against the rules in Python.
"""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import x86_const

from machine.native.build import ARCHITECTURES, build
from machine.opcodes import Action, action
from machine.paging import is_canonical
from machine.step_hook import NEVER, HookState, Stop
from tests.machine.native_code import BLOBS, CONTEXT, Blob

CS, EFLAGS, RSP = x86_const.UC_X86_REG_CS, x86_const.UC_X86_REG_EFLAGS, x86_const.UC_X86_REG_RSP


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_committed_code_is_what_the_source_builds(architecture: str) -> None:
    assert build(architecture) == (BLOBS / f"step_hook.{architecture}.bin").read_bytes()


BOTH = {name: Blob(name) for name in ARCHITECTURES}
EXPECTED = {
    Action.SYSTEM: [
        "0f22d8", "0f30", "0f32", "0f011500000000", "480f011d00000000", "0f00d8", "0f06", "660f0110", "0f23f8",
        "0f21f8", "440f20c0", "0f05", "480f07", "0f34", "0f35", "f1", "0f33", "0fc7f0", "480fc7f8", "0f0138",
    ],
    Action.PORT: ["ec", "66ed", "e480", "e780", "f36c", "6f"],
    Action.DESCRIPTOR: ["0f0100", "0f0108", "0f00c0", "0f00c8", "0f01e0", "0f0120"],
    Action.INTERRUPT_RETURN | Action.CHANGES_CS: ["cf", "48cf", "66cf"],
    Action.CHANGES_CS: ["cb", "ca0000", "48cb", "ea000000000800", "ff2d00000000", "48ff28", "ff18"],
    Action.FLAGS: ["9d"],
    Action.NONE: [
        "90", "0f31", "0fa2", "48ffc1", "ff2500000000", "0f01c8", "cd80", "0f01f8", "0f01f9", "0f20d0", "ff30",
        "0fc70f", "0f00e0", "480fb6c0",
    ],
}  # fmt: skip
KNOWN = [(bytes.fromhex(code), kind) for kind, codes in EXPECTED.items() for code in codes]


@pytest.mark.parametrize(("code", "kind"), KNOWN, ids=lambda value: value.hex() if isinstance(value, bytes) else "")
def test_instructions_to_be_looked_at_are_known(code: bytes, kind: Action) -> None:
    assert action(code) == kind


@given(st.binary(min_size=1, max_size=8))
def test_a_byte_of_40_to_4f_alone_is_an_instruction_and_no_prefix(code: bytes) -> None:
    assert action(bytes([0x44]) + code) == action(code) or action(code) & Action.PREFIX
    assert action(b"\x44") & ~Action.PREFIX == 0


def nowhere(on_stack: bytes) -> bool:
    if len(on_stack) != 16:
        return False
    rip, flags = struct.unpack("<QQ", on_stack)
    return not is_canonical(rip) or bool(flags & 0x2_0000)


def expected(state: HookState, address: int, registers: dict[int, int], code: bytes, on_stack: bytes) -> Stop | None:
    """The rules once more, as prose: the first that applies stops."""
    if state.retired >= state.deadline:
        return Stop.DEADLINE
    if state.check_cs and registers[CS] != state.cs:
        return Stop.SEGMENT
    if state.watch_if and registers[EFLAGS] & 0x200:
        return Stop.INTERRUPTS_ENABLED
    passed = (state.passing, state.passing_address) == (state.retired, address)
    if address in state.address[: state.addresses] and not passed:
        return Stop.ADDRESS
    if address == state.pass_once:
        return None
    if address == state.breakpoint:
        return Stop.BREAKPOINT
    if state.debugging and address in state.debug_address:
        return Stop.DEBUG
    found = action(code)
    if found & state.watched or (found & Action.INTERRUPT_RETURN and nowhere(on_stack)):
        return Stop.WATCHED_INSTRUCTION
    return None


addresses = st.sampled_from([0x1000, 0x1003, 0x1FFE, 0x7FFF_FFFF_F000, 0xFFFF_8000_0000_0000, NEVER - 20])
instructions = st.one_of(st.sampled_from([code for code, _ in KNOWN]), st.binary(min_size=1, max_size=15))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=400, deadline=None)
@given(
    fields=st.fixed_dictionaries(
        {
            "retired": st.integers(0, 3),
            "deadline": st.sampled_from([0, 1, 2, NEVER]),
            "cs": st.sampled_from([0x08, 0x23]),
            "check_cs": st.sampled_from([0, int(Action.CHANGES_CS)]),
            "watch_if": st.booleans(),
            "watched": st.sampled_from([0, 1, 3, 7, 31]),
            "breakpoint": addresses,
            "pass_once": addresses,
            "debugging": st.booleans(),
            "addresses": st.integers(0, 4),
            "passing": st.integers(0, 3),
            "passing_address": addresses,
        }
    ),
    debugged=st.lists(addresses, min_size=4, max_size=4),
    address=addresses,
    code=instructions,
    registers=st.fixed_dictionaries(
        {CS: st.sampled_from([0x08, 0x23]), EFLAGS: st.sampled_from([2, 0x202]), RSP: st.just(0x9000)}
    ),
    on_stack=st.one_of(
        st.just(b""),
        st.builds(
            lambda rip, flags: struct.pack("<QQ", rip, flags),
            st.sampled_from([0, 2**47 - 1, 2**47, 2**64 - 1, 2**63, 2**64 - 2**47 - 1]),
            st.sampled_from([0x202, 0x2_0202]),
        ),
    ),
)
def test_native_code_keeps_the_rules(
    architecture: str, fields: dict[str, int], debugged: list[int], address: int, code: bytes,
    registers: dict[int, int], on_stack: bytes,
) -> None:  # fmt: skip
    state = HookState(**fields)
    for index, value in enumerate(debugged):
        state.debug_address[index] = value
        state.address[index] = value
    retired, passed = state.retired, state.pass_once
    stop = expected(state, address, registers, code, on_stack)
    blob = BOTH[architecture]
    stopped = blob.on_instruction(state, address, len(code), registers, code, on_stack)
    if stop is not None:
        assert (stopped, state.reason, state.retired) == (True, stop, retired)
        assert (blob.saved, state.rflags) == (CONTEXT, registers[EFLAGS])
    else:
        assert (stopped, state.retired, state.last) == (False, retired + 1, address)
        assert state.check_cs == (action(code) if action(code) & Action.CHANGES_CS else 0)
        assert state.pass_once == (NEVER if address == passed else passed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_code_that_changes_is_seen_to_change(architecture: str) -> None:
    """Nothing is remembered of an instruction, only where its page is."""
    state = HookState(deadline=NEVER, breakpoint=NEVER, pass_once=NEVER, watched=1)
    assert not BOTH[architecture].on_instruction(state, 0x1000, 1, {}, b"\x90")
    assert BOTH[architecture].on_instruction(state, 0x1000, 3, {EFLAGS: 2}, b"\x0f\x22\xd8")
