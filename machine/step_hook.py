"""The instruction hook: counts retired instructions and stops the engine where Python has something to do.

The rules are written twice, in `native/step_hook.c` (fast: tens of millions of instructions a second) and in
`_PortableHook` (for hosts that load no native code); a test holds both to the same counts and stops. Stopping is
always *before* an instruction; nothing else may stop the engine, or an instruction would be counted twice.
"""

import ctypes
from array import array
from collections.abc import Callable
from enum import IntEnum

from unicorn import UC_HOOK_CODE, UC_HOOK_INSN_INVALID, UC_HOOK_INTR, UC_PROT_EXEC, UC_PROT_READ, Uc, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.errors import EmulatorFault
from machine.native.loading import load
from machine.opcodes import ALWAYS, TABLES, Action, Instruction, MemoryOperand, action, decode
from machine.processor_state import GENERAL_REGISTERS
from machine.ram import PAGE_SIZE, Ram
from machine.unicorn_calls import engine_handle, vmem_read
from machine.unusual_operands import unusual_operands

NEVER = 2**64 - 1
_PAGES = 64
ADDRESSES = 16
"""At most this many places to stop at."""
_INTERRUPT_FLAG = 0x200
_VECTOR_BYTES = 16
_LOOKED_AT = Action.FLOATS | Action.LOOK
_PLACED = Action.ALIGNED | Action.WIDE
_LONGEST = 15
_GROUPS = 64
REGISTER_IDS = tuple(getattr(x86_const, f"UC_X86_REG_{name.upper()}") for name in GENERAL_REGISTERS)
"""Unicorn's numbers of the general registers, in the order of their numbers in an instruction."""
SEGMENT_BASE_IDS = {"fs": x86_const.UC_X86_REG_FS_BASE, "gs": x86_const.UC_X86_REG_GS_BASE}


class Stop(IntEnum):
    """Why the engine stopped (step_hook.c, STOP_)."""

    HALT = 0
    """Not by the hook: HLT retired."""
    DEADLINE = 1
    INTERRUPTS_ENABLED = 2
    BREAKPOINT = 3
    WATCHED_INSTRUCTION = 4
    """One whose `opcodes.Action` is watched."""
    INTERRUPT = 5
    """Unicorn met an exception or a software interrupt: see `vector`."""
    INVALID_INSTRUCTION = 6
    DEBUG = 7
    """The machine's own debug registers name this instruction."""
    NO_CODE = 8
    """Not by the hook: at RIP there is no RAM to execute from."""
    ADDRESS = 9
    """Somebody who watches the machine wants it stopped here."""


class HookState(ctypes.Structure):
    """`struct state` of step_hook.c; the meaning of the fields is told there."""

    _fields_ = [
        *[(name, ctypes.c_uint64) for name in ("retired", "deadline", "last", "watch_if", "watched", "breakpoint")],
        ("pass_once", ctypes.c_uint64),
        ("debugging", ctypes.c_uint64),
        ("debug_address", ctypes.c_uint64 * 4),
        ("pass_watched", ctypes.c_uint64),
        *[
            (name, ctypes.c_uint64)
            for name in ("reason", "vector", "rflags", "flags_before", "context", "ram", "ram_size")
        ],
        ("addresses", ctypes.c_uint64),
        ("address", ctypes.c_uint64 * ADDRESSES),
        ("passing", ctypes.c_uint64),
        ("passing_address", ctypes.c_uint64),
        ("long_mode", ctypes.c_uint64),
        ("mxcsr", ctypes.c_uint64),
        ("tables", ctypes.c_void_p * 2),
        ("code_size", ctypes.c_uint64),
        ("code", ctypes.c_uint8 * 16),
        *[(name, ctypes.c_void_p) for name in ("stop", "reg_read", "vmem_read", "vmem_translate", "context_save")],
        ("general_register", ctypes.c_uint64 * 16),
        ("pages", ctypes.c_uint64 * (2 * _PAGES)),
    ]
    retired: int
    deadline: int
    last: int
    watch_if: int
    watched: int
    breakpoint: int
    pass_once: int
    debugging: int
    debug_address: "ctypes.Array[ctypes.c_uint64]"
    pass_watched: int
    addresses: int
    address: "ctypes.Array[ctypes.c_uint64]"
    passing: int
    passing_address: int
    long_mode: int
    mxcsr: int
    code_size: int
    code: "ctypes.Array[ctypes.c_uint8]"
    reason: int
    vector: int
    rflags: int
    flags_before: int
    context: int
    ram_size: int


def native_tables(long: bool) -> "ctypes.Array[ctypes.c_char]":
    """`struct tables` of step_hook.c."""
    tables = TABLES[long]
    words = array("H", tables.entries)
    for row in tables.groups:
        words.extend(row)
    words.extend([0] * (16 * (_GROUPS - len(tables.groups))))
    return ctypes.create_string_buffer(words.tobytes(), len(words) * 2)


_NATIVE_TABLES = (native_tables(False), native_tables(True))
STATE_BYTES: int = vars(HookState)["context"].offset
"""The first fields of `HookState`: all that is state, and nothing of this process."""


def add_hook(
    uc: Uc,
    kind: int,
    callback: object,
    user: object = None,
    *,
    instruction: int | None = None,
    within: range | None = None,
) -> ctypes.c_size_t:
    """Add a hook by the C interface, which takes native functions and all instructions; the binding does not.

    It is for addresses `within` a range, or for all. Returns its handle. The caller keeps `callback` and `user` alive.
    Raises EmulatorFault when Unicorn refuses.
    """
    handle = ctypes.c_size_t()
    first, last = (1, 0) if within is None else (within.start, within.stop - 1)  # so written it is everywhere
    extra = [] if instruction is None else [ctypes.c_int(instruction)]
    pointer = ctypes.c_void_p(callback) if isinstance(callback, int) else ctypes.cast(callback, ctypes.c_void_p)  # type: ignore[arg-type]
    status = uclib.uc_hook_add(
        uc._uch, ctypes.byref(handle), kind, pointer, user, ctypes.c_uint64(first), ctypes.c_uint64(last), *extra
    )
    if status:
        raise EmulatorFault(f"Unicorn refused hook {kind}: error {status}")
    return handle


class StepHook:
    """The hook attached to one engine, and its state. `context` is where the processor is saved at each stop."""

    def __init__(self, uc: Uc, ram: Ram, context: int, *, portable: bool = False) -> None:
        self.state = HookState(
            deadline=NEVER,
            breakpoint=NEVER,
            pass_once=NEVER,
            pass_watched=NEVER,
            passing=NEVER,
            watched=ALWAYS,
            context=context,
            ram=ram.host_address,
            ram_size=ram.size,
        )
        self.on_device_read: int | None = None
        """Where `on_device_read` of the native code is."""
        entries = None if portable else load("step_hook")
        self.native = entries is not None
        if entries is not None:
            self._attach_native(uc, entries)
        else:
            self._portable = _PortableHook(uc, self.state)

    def forget_pages(self) -> None:
        """Translate code pages again: mappings may have changed."""
        ctypes.memset(ctypes.addressof(self.state) + HookState.pages.offset, 0, HookState.pages.size)

    def _attach_native(self, uc: Uc, entries: tuple[int, ...]) -> None:
        state = self.state
        functions = {
            "stop": uclib.uc_emu_stop,
            "reg_read": uclib.uc_reg_read,
            "vmem_read": uclib.uc_vmem_read,
            "vmem_translate": uclib.uc_vmem_translate,
            "context_save": uclib.uc_context_save,
        }
        for name, function in functions.items():
            setattr(state, name, ctypes.cast(function, ctypes.c_void_p).value)
        state.tables[:] = [ctypes.addressof(tables) for tables in _NATIVE_TABLES]
        state.general_register[:] = REGISTER_IDS
        kinds = (UC_HOOK_CODE, UC_HOOK_INTR, UC_HOOK_INSN_INVALID)
        *hooks, self.on_device_read = entries
        for kind, entry in zip(kinds, hooks, strict=True):
            add_hook(uc, kind, entry, ctypes.byref(state))


class _Operands:
    """Operands of the instruction at the hook, as machine/unusual_operands.py looks at them."""

    def __init__(self, hook: "_PortableHook", following: int) -> None:
        self._hook = hook
        self._following = following

    def general(self, number: int) -> int:
        """A general register, all of it."""
        return self._hook.register(REGISTER_IDS[number])

    def vector(self, number: int) -> int:
        """An XMM register."""
        value = ctypes.create_string_buffer(_VECTOR_BYTES)
        uclib.uc_reg_read(self._hook.handle, x86_const.UC_X86_REG_XMM0 + number, value)
        return int.from_bytes(value.raw, "little")

    def memory(self, instruction: Instruction, size: int) -> int | None:
        """The memory operand; None where the access faults. Raises LookupError where there is no RAM."""
        assert isinstance(instruction.operand, MemoryOperand)
        address = self._hook.operand_address(instruction, instruction.operand, self._following)
        return self._hook.read_ram(address, size)


class _PortableHook:
    """The rules of step_hook.c in Python: the same counts and stops at 1 % of the speed."""

    def __init__(self, uc: Uc, state: HookState) -> None:
        self.handle = uc._uch
        self._engine = engine_handle(uc)
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

    def register(self, number: int) -> int:
        """A register by Unicorn's number."""
        self._value.value = 0
        uclib.uc_reg_read(self.handle, number, ctypes.byref(self._value))
        return self._value.value

    def _stop(self, reason: Stop) -> None:
        self._state.reason = reason
        uclib.uc_context_save(self.handle, ctypes.c_void_p(self._state.context))
        self._state.rflags = self.register(x86_const.UC_X86_REG_EFLAGS)
        uclib.uc_emu_stop(self.handle)

    def _code_at(self, address: int, size: int) -> bytes:
        """The code at an address: `size` bytes, or those up to the end of the page."""
        length = min(size, _LONGEST)
        to_the_end = PAGE_SIZE - address % PAGE_SIZE
        if not vmem_read(self._engine, address, UC_PROT_EXEC, self._code, length):
            return self._code.raw[:length]
        if length > to_the_end and not vmem_read(self._engine, address, UC_PROT_EXEC, self._code, to_the_end):
            return self._code.raw[:to_the_end]
        return b""

    def _misplaced(self, code: bytes, address: int, size: int) -> bool:
        """Tell a memory operand of 16 bytes that Unicorn would access wrongly."""
        instruction = decode(code, long=bool(self._state.long_mode))
        if instruction is None or not isinstance(instruction.operand, MemoryOperand):
            return False
        if not self._state.long_mode:
            return True
        at = self.operand_address(instruction, instruction.operand, address + size)
        return bool(instruction.action & Action.ALIGNED and at & 15) or at % PAGE_SIZE > PAGE_SIZE - 16

    def _unusual(self, code: bytes, address: int, size: int) -> bool:
        """Tell an instruction whose operands Unicorn gets wrong."""
        instruction = decode(code, long=bool(self._state.long_mode))
        if instruction is None:
            return False
        return unusual_operands(instruction, _Operands(self, address + size), self._state.mxcsr)

    def read_ram(self, address: int, size: int) -> int | None:
        """Memory by linear address; None where the access faults. Raises LookupError where there is no RAM."""
        for page in range(address & -PAGE_SIZE, address + size, PAGE_SIZE):
            linear = ctypes.c_uint64(page)
            if uclib.uc_vmem_translate(self.handle, linear, UC_PROT_READ, ctypes.byref(self._value)):
                return None
            if self._value.value + PAGE_SIZE > self._state.ram_size:
                raise LookupError("no RAM")
        data = ctypes.create_string_buffer(size)
        vmem_read(self._engine, address, UC_PROT_READ, data, size)
        return int.from_bytes(data.raw, "little")

    def operand_address(self, instruction: Instruction, operand: MemoryOperand, following: int) -> int:
        """The linear address of a memory operand in 64-bit mode; `following` is the address of the next instruction."""
        at = operand.displacement + (following if operand.relative else 0)
        for number, scale in ((operand.base, 1), (operand.index, operand.scale)):
            if number is not None:
                at += self.register(REGISTER_IDS[number]) * scale
        at &= 0xFFFF_FFFF if instruction.address_size_prefix else NEVER
        return at + (self.register(SEGMENT_BASE_IDS[operand.segment]) if operand.segment in SEGMENT_BASE_IDS else 0)

    def _watched(self, address: int, size: int) -> bool:
        """Whether the instruction at an address is one to stop before; its code is kept then."""
        state, code = self._state, self._code_at(address, size)
        found = action(code, long=bool(state.long_mode))
        if not found and len(code) < _LONGEST:  # `size` may be what Unicorn had decoded when it gave up
            code = self._code_at(address, _LONGEST)
            found = action(code, long=bool(state.long_mode))
        stops = bool(found & state.watched) or bool(found & _PLACED and self._misplaced(code, address, size))
        if not stops and found & _LOOKED_AT:  # of these Unicorn may be wrong about the length, too
            code = self._code_at(address, _LONGEST)
            stops = self._unusual(code, address, size)
        if stops:
            state.code_size = len(code)
            ctypes.memmove(state.code, code, len(code))
            return True
        if found & Action.MODIFIES:
            state.flags_before = self.register(x86_const.UC_X86_REG_EFLAGS)
        return False

    def _on_instruction(self, _uc: int, address: int, size: int, _user: int) -> None:
        state = self._state
        if state.retired >= state.deadline:
            return self._stop(Stop.DEADLINE)
        if state.watch_if and self.register(x86_const.UC_X86_REG_EFLAGS) & _INTERRUPT_FLAG:
            return self._stop(Stop.INTERRUPTS_ENABLED)
        passed = (state.retired, address) == (state.passing, state.passing_address)
        if state.addresses and not passed and address in state.address[: state.addresses]:
            return self._stop(Stop.ADDRESS)
        if address == state.pass_once:
            state.pass_once = NEVER
        else:
            if address == state.breakpoint:
                return self._stop(Stop.BREAKPOINT)
            if state.debugging and address in state.debug_address:
                return self._stop(Stop.DEBUG)
        if address == state.pass_watched:
            state.pass_watched = NEVER
            state.flags_before = state.rflags
        elif self._watched(address, size):
            return self._stop(Stop.WATCHED_INSTRUCTION)
        state.last = address
        state.retired += 1
        return None

    def _on_interrupt(self, _uc: int, vector: int, _user: int) -> None:
        self._state.vector = vector
        self._stop(Stop.INTERRUPT)

    def _on_invalid(self, _uc: int, _user: int) -> bool:
        self._stop(Stop.INVALID_INSTRUCTION)
        return True
