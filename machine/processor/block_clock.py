"""Counting instructions by block: the fast way through long stretches of ordinary code.

The instruction hook (step_hook.py) is called before every instruction, which costs most of the time that code takes.
After a number of instructions without a stop, the engine goes on *by block*: Unicorn calls the native `on_block` before
each block, which adds the block's number of instructions to the count. Inside a block the count is not exact, so
nothing that depends on it may happen there:

* Devices refuse every access, and pages with code refuse stores. Unicorn then stops before the instruction, with an
  exact RIP, and the instruction hook goes on from there.
* A block that reaches past the deadline or contains a breakpoint is not begun by block.
* Instructions that have to be looked at each time, because of their operands (unusual_operands.py), or because Python
  executes them, are *examined*: a native hook is called before each instruction of their blocks.
* Exceptions and INT leave an exact RIP, from which native/by_block.h computes the count.

This is done in 64-bit mode, and in 32-bit code with flat segments.

With that both ways count the same and stop the same. A bit in the processor's hidden flags makes Unicorn keep two
translations of the same code apart: one calls the instruction hook, the other one calls the hooks of this file.
"""

import ctypes
from collections.abc import Callable
from functools import cache, cached_property

from unicorn import UC_ERR_READ_PROT, UC_ERR_WRITE_PROT, UC_HOOK_BLOCK, UC_HOOK_CODE, UC_PROT_READ, UC_PROT_WRITE, Uc
from unicorn.unicorn_py3.unicorn import uclib

from machine.architecture.decoding import IMMEDIATE_KINDS, has_modrm
from machine.architecture.instruction_set import Map
from machine.architecture.processor_state import ARITHMETIC_FLAGS, ProcessorState
from machine.architecture.unicorn_ffi import engine_handle
from machine.bus.bus import MMIO_BASE, MMIO_SIZE
from machine.bus.ram import PAGE_SIZE
from machine.errors import EmulatorFault
from machine.processor.code_pages import CodePages
from machine.processor.engine_callbacks import Callbacks
from machine.processor.step_hook import NEVER, HookState, StepHook, Stop, add_hook

WARM_UP = 2000
"""Instructions without a stop after which the engine counts by block: entering and leaving costs about as much."""
NEVER_WARM = 1 << 62
_NOT_NOW = 100_000
"""The same after an attempt at a time when counting by block is not possible."""
_BLOCKS = 4096
_MAX_EXAMINED = 2048
"""Blocks with a hook before each instruction. Unicorn looks through all hooks whenever it translates an instruction."""
_EXAMINED_BITS = 1 << 16
_BEFORE, _END = 0, 2
_HAS_MODRM, _ONLY_FIRST_TWO, _IMMEDIATE = 1, 2, 4
_KINDS = {kind: number for number, kind in enumerate(("ib", "iw", "iz", "iv", "off", "far", "iwb", "rel"), start=1)}
_TF, _RF = 1 << 8, 1 << 16
_NOWHERE = 1 << 63
"""An address that is not canonical, so that no code is there."""
_OPCODES = 256


@cache
def _shapes() -> "ctypes.Array[ctypes.c_uint8]":
    """Return what follows each opcode, for `length_of` in by_block.h.

    They are kept for the life of the process: native code has their address.
    """
    shapes = [_HAS_MODRM if has_modrm(each, opcode) else 0 for each in Map for opcode in range(_OPCODES)]
    immediates: dict[tuple[Map, int], dict[int, str]] = {}
    for (number, opcode, extension), kind in IMMEDIATE_KINDS.items():
        immediates.setdefault((number, opcode), {})[extension] = kind
    for (number, opcode), kinds in immediates.items():
        only_first_two = _ONLY_FIRST_TWO if 0 in kinds and 2 not in kinds else 0
        shapes[number * _OPCODES + opcode] |= _IMMEDIATE * _KINDS.get(kinds[min(kinds)], 0) | only_first_two
    return (ctypes.c_uint8 * len(shapes))(*shapes)


_ON_END = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32)


class _Block(ctypes.Structure):
    """`struct block` of by_block.h."""

    _fields_ = [
        ("address", ctypes.c_uint64),
        ("host", ctypes.c_void_p),
        ("next", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("covered", ctypes.c_uint64),
        ("followers", ctypes.c_uint64 * 2),
    ]
    size: int
    count: int


class _Bounds:
    """The addresses that a hook of Unicorn covers, changed in place: Unicorn reads them when it translates code."""

    def __init__(self, handle: int, callback: int) -> None:
        fields = (ctypes.c_uint64 * 6).from_address(handle)
        if list(fields[3:]) != [1, 0, callback]:
            raise EmulatorFault("this version of Unicorn lays out its hooks in an unknown way")
        self._fields = fields

    def cover(self, *, everything: bool) -> None:
        """Cover all code from now on, or none."""
        self._fields[3], self._fields[4] = (1, 0) if everything else (_NOWHERE, _NOWHERE)


class BlockClock:
    """Counting by block in one engine with native hooks.

    Args:
        uc: The engine.
        step_hook: Its instruction hook, which counts otherwise.
        registers: The registers of the stopped processor.
        callbacks: Asked whether somebody observes memory accesses or ports.
        code_pages: Made to refuse stores.
        give_back: Writes the registers to the engine.
    """

    def __init__(
        self,
        uc: Uc,
        step_hook: StepHook,
        registers: ProcessorState,
        *,
        callbacks: Callbacks,
        code_pages: CodePages,
        give_back: Callable[[], None],
    ) -> None:
        self._uc = uc
        self._handle = engine_handle(uc)
        self._hook = step_hook.state
        self._registers = registers
        self._callbacks = callbacks
        self._code_pages = code_pages
        self._give_back = give_back
        on_instruction, self._on_block, self._on_examined, on_end = step_hook.counting
        self._on_end = _ON_END(on_end)
        self._blocks = (_Block * _BLOCKS)()
        self._used = False
        self._examined_bits = (ctypes.c_uint8 * (_EXAMINED_BITS // 8))()
        self._examined: dict[tuple[int, int], ctypes.c_size_t] = {}
        """Addresses and sizes of blocks with examined instructions, and the handles of their hooks."""
        self._by_instruction = _Bounds(step_hook.code_hook, on_instruction)
        self._hook.warm_up = WARM_UP
        self.cool_down()

    @cached_property
    def _by_block(self) -> _Bounds:
        """The hook before blocks. Short runs never need it."""
        hook, on_block = self._hook, self._on_block
        hook.shapes, hook.blocks = ctypes.addressof(_shapes()), ctypes.addressof(self._blocks)
        hook.examined_bits = ctypes.addressof(self._examined_bits)
        return _Bounds(add_hook(self._uc, UC_HOOK_BLOCK, on_block, ctypes.byref(hook)).value or 0, on_block)

    def forget(self) -> None:
        """Forget all blocks, because code has changed."""
        if self._used:
            ctypes.memset(self._blocks, 0, ctypes.sizeof(self._blocks))
            self._used = False
        if self._examined:
            for handle in self._examined.values():
                uclib.uc_hook_del(self._uc._uch, handle)
            self._examined.clear()
            ctypes.memset(self._examined_bits, 0, ctypes.sizeof(self._examined_bits))

    def cool_down(self) -> None:
        """Count by instruction for a while, at least for the next one."""
        self._hook.pause = self._hook.retired + 1 + self._hook.warm_up

    def begin(self) -> bool:
        """Prepare the engine to go on by block, if that is possible now; only when `HookState.pause` is reached."""
        hook = self._hook
        if not self._is_possible(hook):
            hook.pause = hook.retired + max(_NOT_NOW, hook.warm_up)
            return False
        hook.by_block, hook.now, hook.before, hook.examined_at = 1, 0, 0, NEVER
        self._code_pages.refuses_stores = True
        self._uc.mem_protect(MMIO_BASE, MMIO_SIZE, 0)
        self._by_instruction.cover(everything=False)
        self._by_block.cover(everything=True)
        self._used = True
        return True

    def _is_possible(self, hook: HookState) -> bool:
        registers, callbacks = self._registers, self._callbacks
        return (
            (registers.in_64_bit_code or registers.in_flat_32_bit_code)
            and not registers.interrupts_inhibited
            and not hook.rflags & (_TF | _RF)
            and not (hook.watch_if or hook.debugging or hook.addresses or hook.flow)
            and hook.pass_once == hook.pass_watched == NEVER
            and not callbacks.watchers
            and callbacks.on_port is None
        )

    def leave(self) -> None:
        """Return to the instruction hook, however the engine was left."""
        self._hook.by_block = 0
        self._code_pages.refuses_stores = False
        self._uc.mem_protect(MMIO_BASE, MMIO_SIZE, UC_PROT_READ | UC_PROT_WRITE)
        self._by_instruction.cover(everything=True)
        self._by_block.cover(everything=False)

    def settle(self, status: int) -> int:
        """Make the count exact after the engine has stopped.

        Args:
            status: Unicorn's error number.

        Returns:
            The error number; 0 for an access that was refused only because of `begin`.
        """
        hook = self._hook
        if hook.reason == Stop.EXAMINE:
            self._examine()
        elif hook.reason == Stop.HALT:
            refused = status in (UC_ERR_READ_PROT, UC_ERR_WRITE_PROT)
            self._on_end(self._handle, ctypes.addressof(hook), self._registers.rip, _BEFORE if refused else _END)
            self.cool_down()
            if refused:
                self._restore_flags()
                hook.reason = Stop.BLOCK
                return 0
        return status

    def _restore_flags(self) -> None:
        """Restore the arithmetic flags before the refused access: see `take_back` in interrupts/unicorn_faults.py."""
        hook, registers = self._hook, self._registers
        if hook.examined_at == registers.rip:
            before = registers.cc_src if hook.flags_before == NEVER else hook.flags_before
            hook.rflags = hook.rflags & ~ARITHMETIC_FLAGS | before & ARITHMETIC_FLAGS

    def _examine(self) -> None:
        """Call `on_examined` before the instructions of the block at RIP, and let Unicorn translate it again."""
        hook, at = self._hook, self._registers.rip
        hook.pause = hook.retired
        block = self._blocks[(at ^ at >> 12) % _BLOCKS]
        if (at, block.size) in self._examined:
            return
        if len(self._examined) == _MAX_EXAMINED:
            block.count = 0
            return
        where = range(at, at + block.size)
        self._examined[at, block.size] = add_hook(
            self._uc, UC_HOOK_CODE, self._on_examined, ctypes.byref(hook), within=where
        )
        self._give_back()
        here = min(block.size, PAGE_SIZE - at % PAGE_SIZE)
        self._uc.ctl_remove_cache(at, at + here)
        if here < block.size:
            self._uc.ctl_remove_cache(at + here, at + block.size)
