"""The instruction hook: it counts retired instructions and stops the engine when Python must act.

The rules are written twice, in `native/step_hook.c` (fast: tens of millions of instructions a second) and in
`portable_hook.py` (for hosts that cannot load native code); a test compares their counts and stops. The hook always
stops *before* an instruction. Nothing else may stop the engine, or an instruction would be counted twice.
"""

import ctypes
from array import array
from collections.abc import Callable
from enum import IntEnum, IntFlag
from functools import cache
from typing import Protocol

from unicorn import UC_HOOK_CODE, UC_HOOK_INSN_INVALID, UC_HOOK_INTR, Uc, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.architecture.instruction_set import Map, Prefix
from machine.architecture.opcodes import ALWAYS, TABLES, Action
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.architecture.saved_context import SavedContext
from machine.bus.ram import Ram
from machine.errors import EmulatorFault
from machine.processor.code_coverage import CodeCoverage
from machine.processor.native.loading import load

NEVER = 2**64 - 1
PAGES = 64
"""The number of code pages whose host addresses the native hook keeps."""
ADDRESSES = 16
"""The maximum number of addresses to stop at."""
_GROUPS = 64
_CLI_AND_STI = (0xFA, 0xFB)
_CREDIT = 1024
"""Instructions that may be translated before others have paid for them (native/stepping.h): some ms of work."""
STRINGS = frozenset([*range(0x6C, 0x70), *range(0xA4, 0xA8), *range(0xAA, 0xB0)])
"""Opcodes of the string instructions."""
REGISTER_IDS = tuple(getattr(x86_const, f"UC_X86_REG_{name.upper()}") for name in GENERAL_REGISTERS)
"""Unicorn's numbers of the general registers, in instruction encoding order."""


class Stop(IntEnum):
    """Why the engine stopped (step_hook.c, STOP_)."""

    HALT = 0
    """HLT retired. Not by the hook."""
    DEADLINE = 1
    INTERRUPTS_ENABLED = 2
    BREAKPOINT = 3
    WATCHED_INSTRUCTION = 4
    """The `opcodes.Action` of the next instruction is watched."""
    INTERRUPT = 5
    """Unicorn raised an exception or a software interrupt: see `vector`."""
    INVALID_INSTRUCTION = 6
    DEBUG = 7
    """DR0-DR3 have an enabled breakpoint on this instruction."""
    NO_CODE = 8
    """There is no RAM at RIP. Not by the hook."""
    ADDRESS = 9
    """An observer of the machine has set a stop at this address."""
    REPEAT = 10
    """The repeated string instruction at `last` must begin again (stepping.h)."""
    WARM = 11
    """Counting by block would pay from here on (block_clock.py)."""
    BLOCK = 12
    """The next instructions cannot be counted by block."""
    EXAMINE = 13
    """The next block has instructions to be examined."""
    RETURNED = 14
    """Native code has executed an IRETQ (native/known.h)."""


class Flow(IntFlag):
    """Control flow before which an observer stops (step_hook.c, `flow`)."""

    CALLS = 1
    """Calls and returns."""
    OUTSIDE = 2
    """Any instruction outside a range of addresses."""
    CHANGED = 4
    """The first instruction at which a general register has another value."""


_FUNCTIONS = {
    "stop": uclib.uc_emu_stop,
    "reg_read": uclib.uc_reg_read,
    "vmem_read": uclib.uc_vmem_read,
    "vmem_translate": uclib.uc_vmem_translate,
    "context_save": uclib.uc_context_save,
}
_PARTS = ("registers", "cr2", "mxcsr_now", "simd_raised", "met", "old_exception")
_FUNCTIONS_OF_ENTRY = {"context_restore": uclib.uc_context_restore, "emu_start": uclib.uc_emu_start}


class Steps(IntEnum):
    """Ways to enter the engine (stepping.h). Except with NONE, Unicorn raises #DB after each instruction."""

    NONE = 0
    WHILE_IN_DEBT = 1
    ONE = 2
    OF_SOFTWARE = 3
    """TF is set: the #DB is delivered to software."""
    GUARDED = 4
    """As long as instructions are harmless and in the same page (code_pages.py)."""


class HookState(ctypes.Structure):
    """`struct state` of step_hook.c, which explains the fields."""

    _fields_ = [
        *[(name, ctypes.c_uint64) for name in ("retired", "last", "watch_if", "watched", "breakpoint")],
        ("pass_once", ctypes.c_uint64),
        ("debugging", ctypes.c_uint64),
        ("debug_address", ctypes.c_uint64 * 4),
        ("pass_watched", ctypes.c_uint64),
        *[
            (name, ctypes.c_uint64)
            for name in ("reason", "vector", "rflags", "flags_before", "context", "deadline", "ram", "ram_size")
        ],
        ("addresses", ctypes.c_uint64),
        ("address", ctypes.c_uint64 * ADDRESSES),
        *[(name, ctypes.c_uint64) for name in ("flow", "floor", "inside", "inside_size", "number", "value")],
        ("passing", ctypes.c_uint64),
        ("passing_address", ctypes.c_uint64),
        ("long_mode", ctypes.c_uint64),
        ("mxcsr", ctypes.c_uint64),
        ("tables", ctypes.c_void_p * 2),
        ("code_size", ctypes.c_uint64),
        ("code", ctypes.c_uint8 * 16),
        *[(name, ctypes.c_void_p) for name in _FUNCTIONS],
        *[(name, ctypes.c_uint64) for name in ("stepping", "debt", "paid_at", "credit", "rip", "rcx", "until")],
        *[(name, ctypes.c_uint64) for name in ("inhibited", "guarded", "code_base", "begun")],
        ("general_register", ctypes.c_uint64 * 16),
        ("pages", ctypes.c_uint64 * (2 * PAGES)),
        *[(name, ctypes.c_uint64) for name in ("by_block", "pause", "warm_up")],
        *[(name, ctypes.c_void_p) for name in ("shapes", "blocks", "now", "before")],
        *[(name, ctypes.c_uint64) for name in ("examined_at", "flags_right", "examines")],
        *[(name, ctypes.c_void_p) for name in ("examined_bits", *_PARTS, *_FUNCTIONS_OF_ENTRY)],
        *[(name, ctypes.c_uint64) for name in ("entry_retired", "entry_rflags", "entry_cr2")],
        *[(name, ctypes.c_void_p) for name in ("known_interrupt", "known_return", "known_run", "x87")],
        ("left_ring", ctypes.c_uint64),
        ("coverage", ctypes.c_void_p),
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
    flow: int
    floor: int
    inside: int
    inside_size: int
    number: int
    value: int
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
    stepping: int
    debt: int
    credit: int
    rip: int
    rcx: int
    until: int
    inhibited: int
    guarded: int
    code_base: int
    begun: int
    pages: "ctypes.Array[ctypes.c_uint64]"
    by_block: int
    pause: int
    warm_up: int
    shapes: int | None
    blocks: int | None
    now: int | None
    before: int | None
    examined_at: int
    flags_right: int
    examines: int
    examined_bits: int | None
    registers: int | None
    context_restore: int | None
    emu_start: int | None
    old_exception: int | None
    entry_retired: int
    entry_rflags: int
    entry_cr2: int
    known_interrupt: int | None
    known_return: int | None
    known_run: int | None
    x87: int | None
    left_ring: int
    coverage: int | None


def native_tables(long: bool) -> "ctypes.Array[ctypes.c_char]":
    """Return `struct tables` of step_hook.c: of 64-bit mode, or of other modes."""
    tables = TABLES[long]
    words = array("H", tables.entries)
    for row in tables.groups:
        words.extend(row)
    words.extend([0] * (16 * (_GROUPS - len(tables.groups))))
    return ctypes.create_string_buffer(words.tobytes(), len(words) * 2)


_NATIVE_TABLES = (native_tables(False), native_tables(True))


@cache
def _tables_with_flags() -> "tuple[ctypes.Array[ctypes.c_char], ...]":
    """Return tables in which CLI and STI have the action of POPF."""
    made = []
    for long in (False, True):
        tables = native_tables(long)
        words = (ctypes.c_uint16 * len(TABLES[long].entries)).from_buffer(tables)
        for prefix in Prefix:
            for opcode in _CLI_AND_STI:
                words[(Map.ONE_BYTE * len(Prefix) + prefix) * 256 + opcode] |= Action.FLAGS
        made.append(tables)
    return tuple(made)


def watch_cli_and_sti(state: "HookState") -> None:
    """Let the native hook stop before CLI and STI wherever it stops before POPF."""
    state.tables[:] = [ctypes.addressof(tables) for tables in _tables_with_flags()]


_PAGES_AT, _PAGES_BYTES = vars(HookState)["pages"].offset, vars(HookState)["pages"].size
STATE_BYTES: int = vars(HookState)["context"].offset
"""The size of the first fields of `HookState`, which are the processor's state, not this process's."""


def add_hook(
    uc: Uc,
    kind: int,
    callback: object,
    user: object = None,
    *,
    instruction: int | None = None,
    within: range | None = None,
) -> ctypes.c_size_t:
    """Add a hook through Unicorn's C interface.

    Unlike the Python binding, it accepts native functions, and also more instructions.

    Args:
        uc: The engine.
        kind: UC_HOOK_ constants, joined by OR.
        callback: A ctypes function, or the address of a native one. The caller keeps it alive.
        user: Passed to the callback as its last argument. The caller keeps it alive.
        instruction: For UC_HOOK_INSN, the instruction: an UC_X86_INS_ constant.
        within: The addresses that the hook covers; None for all.

    Returns:
        The handle of the hook.

    Raises:
        EmulatorFault: Unicorn refused the hook.
    """
    handle = ctypes.c_size_t()
    first, last = (1, 0) if within is None else (within.start, within.stop - 1)  # 1, 0 is every address
    extra = [] if instruction is None else [ctypes.c_int(instruction)]
    pointer = ctypes.c_void_p(callback) if isinstance(callback, int) else ctypes.cast(callback, ctypes.c_void_p)  # type: ignore[arg-type]
    status = uclib.uc_hook_add(
        uc._uch, ctypes.byref(handle), kind, pointer, user, ctypes.c_uint64(first), ctypes.c_uint64(last), *extra
    )
    if status:
        raise EmulatorFault(f"Unicorn refused hook {kind}: error {status}")
    return handle


class HookInPython(Protocol):
    """The hook for hosts that cannot load native code (portable_hook.py)."""

    coverage: CodeCoverage | None
    """The notes about executed code, if somebody asks for them."""


class StepHook:
    """The hook of one engine, and its state. The processor is saved to `context` at each stop.

    `fallback` attaches a hook in Python. It is used if `portable`, or if the host cannot load native code.
    """

    def __init__(
        self,
        uc: Uc,
        ram: Ram,
        context: SavedContext,
        fallback: Callable[[Uc, HookState], HookInPython],
        *,
        portable: bool = False,
    ) -> None:
        self.state = HookState(
            deadline=NEVER,
            breakpoint=NEVER,
            pass_once=NEVER,
            pass_watched=NEVER,
            passing=NEVER,
            watched=ALWAYS,
            credit=_CREDIT,
            pause=NEVER,
            context=context.address,
            **context.parts,
            ram=ram.host_address,
            ram_size=ram.size,
        )
        self.code_hook = 0
        """Unicorn's handle of the native instruction hook."""
        self.counting: tuple[int, ...] = ()
        """The addresses of `on_instruction`, `on_block`, `on_examined` and `on_end` in the native code."""
        self.on_device_read: int | None = None
        self.on_device_write: int | None = None
        """The addresses of `on_device_read` and `on_device_write` in the native code."""
        self.enter: Callable[[int, int], int] | None = None
        """The native function `enter` of native/entering.h, of the engine's handle and the state's address."""
        self.deliver_known: Callable[[int, int], int] | None = None
        """The native function `deliver_known` of native/known.h, with the same arguments."""
        self.fallback: HookInPython | None = None
        """The hook in Python, if it is used."""
        entries = None if portable else load("step_hook")
        self.native = entries is not None
        if entries is not None:
            self._attach_native(uc, entries)
        else:
            self.fallback = fallback(uc, self.state)

    def forget_pages(self) -> None:
        """Forget the host addresses of code pages, because mappings may have changed."""
        ctypes.memset(ctypes.addressof(self.state) + _PAGES_AT, 0, _PAGES_BYTES)

    def _attach_native(self, uc: Uc, entries: tuple[int, ...]) -> None:
        state = self.state
        for name, function in (_FUNCTIONS | _FUNCTIONS_OF_ENTRY).items():
            setattr(state, name, ctypes.cast(function, ctypes.c_void_p).value)
        state.tables[:] = [ctypes.addressof(tables) for tables in _NATIVE_TABLES]
        state.general_register[:] = REGISTER_IDS
        on_instruction, on_interrupt, on_invalid, self.on_device_read, *by_block, enter, deliver = entries
        (self.on_device_write,) = load("device_writes") or (None,)
        self.code_hook = add_hook(uc, UC_HOOK_CODE, on_instruction, ctypes.byref(state)).value or 0
        add_hook(uc, UC_HOOK_INTR, on_interrupt, ctypes.byref(state))
        add_hook(uc, UC_HOOK_INSN_INVALID, on_invalid, ctypes.byref(state))
        self.counting = on_instruction, *by_block
        self.enter = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(enter)
        self.deliver_known = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(deliver)
