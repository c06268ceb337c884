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

from unicorn import UC_HOOK_CODE, UC_HOOK_INSN_INVALID, UC_HOOK_INTR, UC_PROT_EXEC, UC_PROT_READ, Uc, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.errors import EmulatorFault
from machine.host import executable, native_architecture
from machine.opcodes import GROUPS, ONE_BYTE, TWO_BYTE, Action, action
from machine.paging import is_canonical
from machine.ram import PAGE_SIZE, Ram
from machine.unicorn_calls import engine_handle, vmem_read

NEVER = 2**64 - 1
_PAGES = 64
ADDRESSES = 16
"""At most this many places to stop at."""
_HEADER = struct.Struct("<4I")
_INTERRUPT_FLAG, _VIRTUAL_8086 = 0x200, 0x2_0000


class Stop(IntEnum):
    """Why the engine stopped (step_hook.c, STOP_)."""

    HALT = 0
    """Not by the hook: HLT retired."""
    DEADLINE = 1
    SEGMENT = 2
    """The instruction before this one loaded another code segment."""
    INTERRUPTS_ENABLED = 3
    BREAKPOINT = 4
    WATCHED_INSTRUCTION = 5
    """One whose `opcodes.Action` is watched."""
    INTERRUPT = 6
    """Unicorn met an exception or a software interrupt: see `vector`."""
    INVALID_INSTRUCTION = 7
    DEBUG = 8
    """The machine's own debug registers name this instruction."""
    NO_CODE = 9
    """Not by the hook: at RIP there is no RAM to execute from."""
    ADDRESS = 10
    """Somebody who watches the machine wants it stopped here."""


class HookState(ctypes.Structure):
    """`struct state` of step_hook.c; the meaning of the fields is told there."""

    _fields_ = [
        *[
            (name, ctypes.c_uint64)
            for name in ("retired", "deadline", "cs", "check_cs", "last", "watch_if", "watched", "breakpoint")
        ],
        ("pass_once", ctypes.c_uint64),
        ("debugging", ctypes.c_uint64),
        ("debug_address", ctypes.c_uint64 * 4),
        *[(name, ctypes.c_uint64) for name in ("reason", "vector", "rflags", "context", "ram", "ram_size")],
        ("code_pages", ctypes.c_void_p),
        ("addresses", ctypes.c_uint64),
        ("address", ctypes.c_uint64 * ADDRESSES),
        ("passing", ctypes.c_uint64),
        ("passing_address", ctypes.c_uint64),
        *[(name, ctypes.c_void_p) for name in ("stop", "reg_read", "vmem_read", "vmem_translate", "context_save")],
        ("one_byte", ctypes.c_uint8 * 256),
        ("two_byte", ctypes.c_uint8 * 256),
        ("group", ctypes.c_uint8 * 256),
        ("pages", ctypes.c_uint64 * (2 * _PAGES)),
    ]
    retired: int
    deadline: int
    cs: int
    check_cs: int
    last: int
    watch_if: int
    watched: int
    breakpoint: int
    pass_once: int
    debugging: int
    debug_address: "ctypes.Array[ctypes.c_uint64]"
    addresses: int
    address: "ctypes.Array[ctypes.c_uint64]"
    passing: int
    passing_address: int
    reason: int
    vector: int
    rflags: int
    context: int


STATE_BYTES: int = vars(HookState)["context"].offset
"""The first fields of `HookState`: all that is state, and nothing of this process."""


def add_hook(
    uc: Uc,
    kind: int,
    callback: object,
    user: object = None,
    instruction: int | None = None,
) -> ctypes.c_size_t:
    """Add a hook by the C interface, which takes native functions and all instructions; the binding does not.

    Returns its handle. The caller keeps `callback` and `user` alive. Raises EmulatorFault when Unicorn refuses.
    """
    handle = ctypes.c_size_t()
    extra = [] if instruction is None else [ctypes.c_int(instruction)]
    pointer = ctypes.c_void_p(callback) if isinstance(callback, int) else ctypes.cast(callback, ctypes.c_void_p)  # type: ignore[arg-type]
    status = uclib.uc_hook_add(
        uc._uch, ctypes.byref(handle), kind, pointer, user, ctypes.c_uint64(1), ctypes.c_uint64(0), *extra
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
            passing=NEVER,
            watched=Action.SYSTEM,
            context=context,
            ram=ram.host_address,
            ram_size=ram.size,
        )
        self.code_pages = ctypes.create_string_buffer(ram.size // PAGE_SIZE)
        """A byte for each page of RAM: not 0 where an instruction was executed in it."""
        self.state.code_pages = ctypes.addressof(self.code_pages)
        architecture = None if portable else native_architecture()
        self.on_device_read: int | None = None
        """Where `on_device_read` of the native code is."""
        self.native = architecture is not None and self._attach_native(uc, architecture)
        if not self.native:
            self._portable = _PortableHook(uc, self.state, self.code_pages)

    def forget_pages(self) -> None:
        """Translate code pages again: mappings may have changed."""
        ctypes.memset(ctypes.addressof(self.state) + HookState.pages.offset, 0, HookState.pages.size)
        if not self.native:
            self._portable.known_pages.clear()

    def _attach_native(self, uc: Uc, architecture: str) -> bool:
        blob = resources.files("machine.native").joinpath(f"step_hook.{architecture}.bin").read_bytes()
        try:
            base, self._page = executable(blob[_HEADER.size :])
        except OSError:
            return False
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
        for field, actions in (
            (HookState.one_byte, ONE_BYTE),
            (HookState.two_byte, TWO_BYTE),
            (HookState.group, GROUPS),
        ):
            ctypes.memmove(ctypes.addressof(state) + field.offset, actions, 256)
        kinds = (UC_HOOK_CODE, UC_HOOK_INTR, UC_HOOK_INSN_INVALID)
        *hooks, on_device_read = _HEADER.unpack_from(blob)
        for kind, offset in zip(kinds, hooks, strict=True):
            add_hook(uc, kind, base + offset, ctypes.byref(state))
        self.on_device_read = base + on_device_read
        return True


class _PortableHook:
    """The rules of step_hook.c in Python: the same counts and stops at 1 % of the speed."""

    def __init__(self, uc: Uc, state: HookState, code_pages: "ctypes.Array[ctypes.c_char]") -> None:
        self._code_pages = code_pages
        self.known_pages: set[int] = set()
        self._handle = uc._uch
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

    def _register(self, number: int) -> int:
        self._value.value = 0
        uclib.uc_reg_read(self._handle, number, ctypes.byref(self._value))
        return self._value.value

    def _stop(self, reason: Stop) -> None:
        self._state.reason = reason
        uclib.uc_context_save(self._handle, ctypes.c_void_p(self._state.context))
        self._state.rflags = self._register(x86_const.UC_X86_REG_EFLAGS)
        uclib.uc_emu_stop(self._handle)

    def _action(self, address: int, size: int) -> int:
        if address // PAGE_SIZE not in self.known_pages:
            self._note_page(address)
        length = min(size, 15)
        status = vmem_read(self._engine, address, UC_PROT_EXEC, self._code, length)
        return 0 if status else action(self._code.raw[:length])

    def _note_page(self, address: int) -> None:
        linear = ctypes.c_uint64(address & -PAGE_SIZE)
        if not uclib.uc_vmem_translate(self._handle, linear, UC_PROT_EXEC, ctypes.byref(self._value)):
            page = self._value.value // PAGE_SIZE
            if page < len(self._code_pages):
                self._code_pages[page] = b"\1"
                self.known_pages.add(address // PAGE_SIZE)

    def _returns_nowhere(self) -> bool:
        rsp = self._register(x86_const.UC_X86_REG_RSP)
        if vmem_read(self._engine, rsp, UC_PROT_READ, self._code, 16):
            return False
        rip, flags = struct.unpack("<QQ", self._code.raw)
        return not is_canonical(rip) or bool(flags & _VIRTUAL_8086)

    def _on_instruction(self, _uc: int, address: int, size: int, _user: int) -> None:
        state = self._state
        if state.retired >= state.deadline:
            return self._stop(Stop.DEADLINE)
        if state.check_cs and self._register(x86_const.UC_X86_REG_CS) != state.cs:
            return self._stop(Stop.SEGMENT)
        if state.watch_if and self._register(x86_const.UC_X86_REG_EFLAGS) & _INTERRUPT_FLAG:
            return self._stop(Stop.INTERRUPTS_ENABLED)
        passed = (state.retired, address) == (state.passing, state.passing_address)
        if state.addresses and not passed and address in state.address[: state.addresses]:
            return self._stop(Stop.ADDRESS)
        found = self._action(address, size)
        if address == state.pass_once:
            state.pass_once = NEVER
        else:
            if address == state.breakpoint:
                return self._stop(Stop.BREAKPOINT)
            if state.debugging and address in state.debug_address:
                return self._stop(Stop.DEBUG)
            if found & state.watched or (found & Action.INTERRUPT_RETURN and self._returns_nowhere()):
                return self._stop(Stop.WATCHED_INSTRUCTION)
        state.check_cs = found if found & Action.CHANGES_CS else 0
        state.last = address
        state.retired += 1
        return None

    def _on_interrupt(self, _uc: int, vector: int, _user: int) -> None:
        self._state.vector = vector
        self._stop(Stop.INTERRUPT)

    def _on_invalid(self, _uc: int, _user: int) -> bool:
        self._stop(Stop.INVALID_INSTRUCTION)
        return True
