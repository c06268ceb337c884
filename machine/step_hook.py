"""The instruction hook: counts retired instructions and stops the engine where Python has something to do.

The rules are written twice, in `native/step_hook.c` (fast: tens of millions of instructions a second) and in
`_PortableHook` (for hosts that load no native code); a test holds both to the same counts and stops. Stopping is
always *in front of* an instruction; nothing else may stop the engine, or an instruction would be counted twice.
"""

import ctypes
import struct
from collections.abc import Callable
from enum import IntEnum
from importlib import resources

from unicorn import UC_HOOK_CODE, UC_HOOK_INSN_INVALID, UC_HOOK_INTR, UC_PROT_EXEC, Uc, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.errors import EmulatorFault
from machine.host import executable, native_architecture

NEVER = 2**64 - 1
_SEEN = 8192
_INTERRUPT_FLAG = 0x200
_PREFIXES = bytes([0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF0, *range(0x40, 0x50)])


class Stop(IntEnum):
    """Why the engine stopped (step_hook.c, STOP_)."""

    HALT = 0
    """Not by the hook: HLT retired."""
    DEADLINE = 1
    RING = 2
    """The privilege level changed with the instruction before this one."""
    INTERRUPTS_ENABLED = 3
    BREAKPOINT = 4
    SYSTEM_INSTRUCTION = 5
    INTERRUPT = 6
    """Unicorn met an exception or a software interrupt: see `vector`."""
    INVALID_INSTRUCTION = 7


class HookState(ctypes.Structure):
    """`struct state` of step_hook.c; the meaning of the fields is told there."""

    _fields_ = [
        *[
            (name, ctypes.c_uint64)
            for name in ("retired", "deadline", "cpl", "next", "last", "watch_if", "breakpoint", "pass_once")
        ],
        ("reason", ctypes.c_uint64),
        ("vector", ctypes.c_uint64),
        ("context", ctypes.c_uint64),
        ("stop", ctypes.c_void_p),
        ("reg_read", ctypes.c_void_p),
        ("vmem_read", ctypes.c_void_p),
        ("context_save", ctypes.c_void_p),
        ("seen", ctypes.c_uint64 * _SEEN),
    ]
    retired: int
    deadline: int
    cpl: int
    next: int
    last: int
    watch_if: int
    breakpoint: int
    pass_once: int
    reason: int
    vector: int
    context: int


class Kind(IntEnum):
    """What an instruction may do that the machine has to know of (step_hook.c, classify)."""

    ORDINARY = 0
    SYSTEM = 1
    """Writes a system register, flushes the TLB or jumps to another code segment."""
    RETURN = 2
    """May leave for another ring."""


def is_far_jump(code: bytes) -> bool:
    """Whether an instruction (its first bytes) is a direct or indirect far JMP, which may change the mode."""
    code = code.lstrip(_PREFIXES)
    return len(code) > 1 and (code[0] == 0xEA or (code[0] == 0xFF and code[1] >> 3 & 7 == 5))


def classify(code: bytes) -> Kind:
    """The kind of the instruction that `code` holds."""
    code = code.lstrip(_PREFIXES)
    if code[:1] in (b"\xcf", b"\xcb", b"\xca") or code[:2] in (b"\x0f\x07", b"\x0f\x35"):
        return Kind.RETURN
    if is_far_jump(code) or code[:2] in (b"\x0f\x22", b"\x0f\x23", b"\x0f\x30", b"\x0f\x06"):
        return Kind.SYSTEM
    extension = code[2] >> 3 & 7 if len(code) > 2 else None
    if (code[:2] == b"\x0f\x01" and extension in (2, 3, 6, 7)) or (code[:2] == b"\x0f\x00" and extension in (2, 3)):
        return Kind.SYSTEM
    return Kind.ORDINARY


def add_hook(
    uc: Uc,
    kind: int,
    callback: object,
    user: object = None,
    instruction: int | None = None,
) -> None:
    """Add a hook by the C interface, which takes native functions and all instructions; the binding does not.

    The caller keeps `callback` and `user` alive. Raises EmulatorFault when Unicorn refuses.
    """
    handle = ctypes.c_size_t()
    extra = [] if instruction is None else [ctypes.c_int(instruction)]
    pointer = ctypes.c_void_p(callback) if isinstance(callback, int) else ctypes.cast(callback, ctypes.c_void_p)  # type: ignore[arg-type]
    status = uclib.uc_hook_add(
        uc._uch, ctypes.byref(handle), kind, pointer, user, ctypes.c_uint64(1), ctypes.c_uint64(0), *extra
    )
    if status:
        raise EmulatorFault(f"Unicorn refused hook {kind}: error {status}")


class StepHook:
    """The hook attached to one engine, and its state."""

    def __init__(self, uc: Uc, *, portable: bool = False) -> None:
        self.state = HookState(deadline=NEVER, breakpoint=NEVER, pass_once=NEVER, next=NEVER)
        architecture = None if portable else native_architecture()
        self.native = architecture is not None and self._attach_native(uc, architecture)
        if not self.native:
            self._portable = _PortableHook(uc, self.state)

    def forget_instructions(self) -> None:
        """Look at every instruction again: what an address holds may have changed."""
        ctypes.memset(ctypes.addressof(self.state) + HookState.seen.offset, 0, HookState.seen.size)

    def _attach_native(self, uc: Uc, architecture: str) -> bool:
        blob = resources.files("machine.native").joinpath(f"step_hook.{architecture}.bin").read_bytes()
        try:
            base, self._page = executable(blob[12:])
        except OSError:
            return False
        self.state.stop = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p).value
        self.state.reg_read = ctypes.cast(uclib.uc_reg_read, ctypes.c_void_p).value
        self.state.vmem_read = ctypes.cast(uclib.uc_vmem_read, ctypes.c_void_p).value
        self.state.context_save = ctypes.cast(uclib.uc_context_save, ctypes.c_void_p).value
        kinds = (UC_HOOK_CODE, UC_HOOK_INTR, UC_HOOK_INSN_INVALID)
        for kind, offset in zip(kinds, struct.unpack("<3I", blob[:12]), strict=True):
            add_hook(uc, kind, base + offset, ctypes.byref(self.state))
        return True


class _PortableHook:
    """The rules of step_hook.c in Python: the same counts and stops at 1 % of the speed."""

    def __init__(self, uc: Uc, state: HookState) -> None:
        self._handle = uc._uch
        self._state = state
        self._value = ctypes.c_uint64()
        self._code = ctypes.create_string_buffer(16)
        void, u64, u32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
        self._callbacks: list[Callable[..., object]] = []
        for kind, prototype, function in (
            (UC_HOOK_CODE, ctypes.CFUNCTYPE(None, void, u64, u32, void), self._on_instruction),
            (UC_HOOK_INTR, ctypes.CFUNCTYPE(None, void, u32, void), self._on_interrupt),
            (UC_HOOK_INSN_INVALID, ctypes.CFUNCTYPE(ctypes.c_bool, void, void), self._on_invalid),
        ):
            callback = prototype(function)
            self._callbacks.append(callback)
            add_hook(uc, kind, callback)

    def _register(self, number: int) -> int:
        self._value.value = 0
        uclib.uc_reg_read(self._handle, number, ctypes.byref(self._value))
        return self._value.value

    def _stop(self, reason: Stop) -> None:
        self._state.reason = reason
        uclib.uc_emu_stop(self._handle)

    def _kind(self, address: int, size: int) -> Kind:
        length = size if size < 16 else 15
        status = uclib.uc_vmem_read(self._handle, address, UC_PROT_EXEC, self._code, length)
        return Kind.ORDINARY if status else classify(self._code.raw[:length])

    def _on_instruction(self, _uc: int, address: int, size: int, _user: int) -> None:
        state = self._state
        if state.retired >= state.deadline:
            return self._stop(Stop.DEADLINE)
        if address != state.next and self._register(x86_const.UC_X86_REG_CS) & 3 != state.cpl:
            return self._stop(Stop.RING)
        if state.watch_if and self._register(x86_const.UC_X86_REG_EFLAGS) & _INTERRUPT_FLAG:
            return self._stop(Stop.INTERRUPTS_ENABLED)
        state.next = address + size
        if address == state.pass_once:
            state.pass_once = NEVER
        else:
            if address == state.breakpoint:
                return self._stop(Stop.BREAKPOINT)
            slot = (address ^ address >> 13) & (_SEEN - 1)
            if state.seen[slot] != address and state.cpl == 0:
                kind = self._kind(address, size)
                if kind is Kind.SYSTEM:
                    return self._stop(Stop.SYSTEM_INSTRUCTION)
                if kind is Kind.RETURN:
                    state.next = NEVER
                else:
                    state.seen[slot] = address
        state.last = address
        state.retired += 1
        return None

    def _on_interrupt(self, _uc: int, vector: int, _user: int) -> None:
        self._state.vector = vector
        uclib.uc_context_save(self._handle, ctypes.c_void_p(self._state.context))
        self._stop(Stop.INTERRUPT)

    def _on_invalid(self, _uc: int, _user: int) -> bool:
        self._stop(Stop.INVALID_INSTRUCTION)
        return True
