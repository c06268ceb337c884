"""The instruction hook: one set of rules, in native code for two processors and in Python.

The native code of both processors runs here under Unicorn, whatever the host, against the rules in Python.
"""

import ctypes
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import Uc, arm64_const, unicorn_const, x86_const

from machine import step_hook
from machine.native.build import ARCHITECTURES, build
from machine.step_hook import NEVER, HookState, Kind, Stop, classify

BLOBS = Path(step_hook.__file__).parent / "native"
CODE, STATE, BYTES, STACK, CALLS, DONE = 0x10000, 0x40000, 0x60000, 0x80000, 0x90000, 0xA0000
CS, EFLAGS = x86_const.UC_X86_REG_CS, x86_const.UC_X86_REG_EFLAGS


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_committed_code_is_what_the_source_builds(architecture: str) -> None:
    assert build(architecture) == (BLOBS / f"step_hook.{architecture}.bin").read_bytes()


class Blob:
    """The native hook of one processor, in an engine of that processor, with its calls to Unicorn played by us."""

    def __init__(self, architecture: str) -> None:
        arm = architecture == "aarch64"
        self.uc = (
            Uc(unicorn_const.UC_ARCH_ARM64, unicorn_const.UC_MODE_ARM)
            if arm
            else Uc(unicorn_const.UC_ARCH_X86, unicorn_const.UC_MODE_64)
        )
        blob = (BLOBS / f"step_hook.{architecture}.bin").read_bytes()
        self.entry = CODE + struct.unpack_from("<I", blob)[0]
        self.uc.mem_map(0, 1 << 20)
        self.uc.mem_write(CODE, blob[12:])
        ret = bytes.fromhex("c0035fd6") if arm else b"\xc3"
        for index in range(4):
            self.uc.mem_write(CALLS + 16 * index, ret)
        if arm:
            names = ["X0", "X1", "X2", "X3", "X4"]
            self.arguments = [getattr(arm64_const, f"UC_ARM64_REG_{n}") for n in names]
            self.result, self.stack, self.link = names[0], arm64_const.UC_ARM64_REG_SP, arm64_const.UC_ARM64_REG_LR
            self.result_id = arm64_const.UC_ARM64_REG_X0
        else:
            names = ["RDI", "RSI", "RDX", "RCX", "R8"]
            self.arguments = [getattr(x86_const, f"UC_X86_REG_{n}") for n in names]
            self.stack, self.link, self.result_id = x86_const.UC_X86_REG_RSP, 0, x86_const.UC_X86_REG_RAX
        self.uc.hook_add(unicorn_const.UC_HOOK_CODE, self._called, begin=CALLS, end=CALLS + 0x3F)
        self.registers: dict[int, int] = {}
        self.code = b""
        self.stopped = False

    def _called(self, uc: Uc, address: int, _size: int, _user: object) -> None:
        _, second, third, fourth, fifth = (uc.reg_read(number) for number in self.arguments)
        if address == CALLS:
            self.stopped = True
        elif address == CALLS + 16:
            uc.mem_write(third, struct.pack("<Q", self.registers[second & 0xFFFF_FFFF]))
        elif address == CALLS + 32:
            readable = fifth <= len(self.code)
            if readable:
                uc.mem_write(fourth, self.code[:fifth])
            uc.reg_write(self.result_id, 0 if readable else 7)

    def on_instruction(self, state: HookState, address: int, size: int, registers: dict[int, int], code: bytes) -> bool:
        """Call the hook once; the state is updated. Returns whether it stopped the engine."""
        self.registers, self.code, self.stopped = registers, code, False
        state.stop, state.reg_read, state.vmem_read = CALLS, CALLS + 16, CALLS + 32
        self.uc.mem_write(STATE, bytes(state))
        for number, value in zip(self.arguments, (0, address, size, STATE), strict=False):
            self.uc.reg_write(number, value)
        stack = STACK - 8
        self.uc.mem_write(stack, struct.pack("<Q", DONE))
        self.uc.reg_write(self.stack, stack if not self.link else STACK)
        if self.link:
            self.uc.reg_write(self.link, DONE)
        self.uc.emu_start(self.entry, DONE)
        ctypes.memmove(
            ctypes.addressof(state), bytes(self.uc.mem_read(STATE, ctypes.sizeof(state))), ctypes.sizeof(state)
        )
        return self.stopped


BOTH = {name: Blob(name) for name in ARCHITECTURES}
SYSTEM = [
    b"\x0f\x22\xd8",
    b"\x0f\x30",
    b"\x0f\x01\x15\0\0\0\0",
    b"\x48\x0f\x01\x1d\0\0\0\0",
    b"\x0f\x00\xd8",
    b"\xea" + bytes(6),
    b"\xff\x2d\0\0\0\0",
    b"\x0f\x01\xf8",
    b"\x0f\x06",
    b"\x66\x0f\x01\x10",
    b"\x0f\x23\xf8",
]
HARMLESS = [
    b"\x90",
    b"\x0f\x20\xc0",
    b"\x0f\x31",
    b"\x0f\xa2",
    b"\x48\xff\xc1",
    b"\xff\x25\0\0\0\0",
    b"\x0f\x01\xc8",
    b"\xcd\x80",
]

RETURNS = [b"\xcf", b"\x48\xcf", b"\xcb", b"\xca\0\0", b"\x0f\x07", b"\x48\x0f\x07", b"\x0f\x35"]


@pytest.mark.parametrize("code", SYSTEM, ids=lambda c: c.hex())
def test_system_instructions_are_known(code: bytes) -> None:
    assert classify(code) is Kind.SYSTEM


@pytest.mark.parametrize("code", RETURNS, ids=lambda c: c.hex())
def test_returns_are_known(code: bytes) -> None:
    assert classify(code) is Kind.RETURN


@pytest.mark.parametrize("code", HARMLESS, ids=lambda c: c.hex())
def test_others_are_not_stopped_at(code: bytes) -> None:
    assert classify(code) is Kind.ORDINARY


def expected(state: HookState, address: int, size: int, registers: dict[int, int], code: bytes) -> Stop | None:
    """The rules once more, as prose: the first that applies stops."""
    if state.retired >= state.deadline:
        return Stop.DEADLINE
    if address != state.next and registers[CS] & 3 != state.cpl:
        return Stop.RING
    if state.watch_if and registers[EFLAGS] & 0x200:
        return Stop.INTERRUPTS_ENABLED
    if address == state.pass_once:
        return None
    if address == state.breakpoint:
        return Stop.BREAKPOINT
    if state.cpl == 0 and classify(code[:size]) is Kind.SYSTEM:
        return Stop.SYSTEM_INSTRUCTION
    return None


addresses = st.sampled_from([0x1000, 0x1003, 0x7FFF_FFFF_F000, 0xFFFF_8000_0000_0000, NEVER - 1])
instructions = st.one_of(st.sampled_from(SYSTEM + HARMLESS + RETURNS), st.binary(min_size=1, max_size=15))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=300, deadline=None)
@given(
    retired=st.integers(0, 3),
    deadline=st.sampled_from([0, 1, 2, NEVER]),
    cpl=st.sampled_from([0, 3]),
    following=addresses,
    watch=st.booleans(),
    breakpoint_=addresses,
    passed=addresses,
    address=addresses,
    code=instructions,
    cs=st.sampled_from([0x08, 0x23]),
    flags=st.sampled_from([2, 0x202]),
)
def test_native_code_keeps_the_rules(
    architecture: str, retired: int, deadline: int, cpl: int, following: int, watch: bool, breakpoint_: int,
    passed: int, address: int, code: bytes, cs: int, flags: int,
) -> None:  # fmt: skip
    state = HookState(
        retired=retired,
        deadline=deadline,
        cpl=cpl,
        next=following,
        watch_if=watch,
        breakpoint=breakpoint_,
        pass_once=passed,
    )
    registers = {CS: cs, EFLAGS: flags}
    stop = expected(state, address, len(code), registers, code)
    stopped = BOTH[architecture].on_instruction(state, address, len(code), registers, code)
    if stop is not None:
        assert (stopped, state.reason, state.retired) == (True, stop, retired)
    else:
        assert (stopped, state.retired, state.last) == (False, retired + 1, address)
        looked_at = cpl == 0 and address != passed and classify(code) is Kind.RETURN
        assert state.next == (NEVER if looked_at else (address + len(code)) % 2**64)
        assert state.pass_once == (NEVER if address == passed else passed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_instruction_once_found_harmless_is_not_read_again(architecture: str) -> None:
    state = HookState(deadline=NEVER, breakpoint=NEVER, pass_once=NEVER, next=0x1000)
    blob = BOTH[architecture]
    assert not blob.on_instruction(state, 0x1000, 1, {}, b"\x90")
    state.next = 0x1000
    assert not blob.on_instruction(state, 0x1000, 3, {}, b"\x0f\x22\xd8")
    ctypes.memset(ctypes.addressof(state) + HookState.seen.offset, 0, HookState.seen.size)
    state.next = 0x1000
    assert blob.on_instruction(state, 0x1000, 3, {}, b"\x0f\x22\xd8")
