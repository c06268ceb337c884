"""Native code of any processor, run under Unicorn on every host."""

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path

from unicorn import Uc, arm64_const, unicorn_const, x86_const

from machine.architecture.processor_state import ProcessorState
from machine.bus.mmio_window import Window
from machine.bus.ram import LINE_SIZE
from machine.processor import step_hook
from machine.processor.native.loading import ENTRY_POINTS
from machine.processor.step_hook import REGISTER_IDS, HookState, native_tables
from machine.processor.translations import TranslationState

BLOBS = Path(step_hook.__file__).parent / "native"
CODE, STATE, BYTES, STACK, CALLS, DONE = 0x10000, 0x40000, 0x60000, 0x80000, 0x90000, 0xA0000
TABLES = (0xB0000, 0xC0000)
BUS, START = CALLS + 80, CALLS + 96
RAM, PAGE, CONTEXT = 0x10_0000, 0x5000, 0xC0DE
VECTOR_IDS = range(x86_const.UC_X86_REG_XMM0, x86_const.UC_X86_REG_XMM0 + 16)
"""Unicorn's numbers of the XMM registers."""
FROM_BUS = 0x1234_5678_9ABC_DEF0
"""The value read from the bus."""


class Blob:
    """The native code of one processor, in an engine of that processor, with mocked callees."""

    def __init__(self, architecture: str, source: str = "step_hook") -> None:
        arm = architecture == "aarch64"
        self.uc = (
            Uc(unicorn_const.UC_ARCH_ARM64, unicorn_const.UC_MODE_ARM)
            if arm
            else Uc(unicorn_const.UC_ARCH_X86, unicorn_const.UC_MODE_64)
        )
        blob = (BLOBS / f"{source}.{architecture}.bin").read_bytes()
        entries = ENTRY_POINTS[source]
        self.entries = dict(zip(entries, struct.unpack_from(f"<{len(entries)}I", blob), strict=True))
        self.uc.mem_map(0, 1 << 21)
        self.uc.mem_write(CODE, blob[4 * len(entries) :])
        ret = bytes.fromhex("c0035fd6") if arm else b"\xc3"
        for index in range(7):
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
        self.uc.hook_add(unicorn_const.UC_HOOK_CODE, self._called, begin=CALLS, end=CALLS + 0x6F)
        self.registers: dict[int, int] = {}
        for at, long in zip(TABLES, (False, True), strict=True):
            self.uc.mem_write(at, native_tables(long).raw)
        self.address, self.code = 0, b""
        self.stopped, self.saved = False, 0
        self.asked: list[tuple[int, int]] = []
        self.written = 0
        """The value of the last write to the bus."""
        self.start: Callable[[], int] = lambda: 0
        """Stands for uc_emu_start; returns its error number."""
        self.pages: dict[int, int] | None = None
        """The places of linear pages; None: all at PAGE."""

    def _called(self, uc: Uc, address: int, _size: int, _user: object) -> None:
        _, second, third, fourth, fifth = (uc.reg_read(number) for number in self.arguments)
        if address == CALLS:
            self.stopped = True
        elif address == CALLS + 16:
            number = second & 0xFFFF_FFFF
            uc.mem_write(third, self.registers[number].to_bytes(16 if number in VECTOR_IDS else 8, "little"))
        elif address == CALLS + 32:
            readable = second == self.address and self.continues
            if readable:
                uc.mem_write(fourth, self.code[:fifth].ljust(fifth, b"\0"))
            uc.reg_write(self.result_id, 0 if readable else 7)
        elif address == CALLS + 48:
            page = PAGE if self.pages is None else self.pages.get(second)
            uc.mem_write(fourth, struct.pack("<Q", page or 0))
            uc.reg_write(self.result_id, 0 if page is not None else 7)
        elif address == CALLS + 64:
            self.saved = second
        elif address == BUS:
            self.asked.append((second, third & 0xFFFF_FFFF))
            self.written = fourth
            uc.reg_write(self.result_id, FROM_BUS)
        elif address == START:
            self.asked.append((second, third))
            uc.reg_write(self.result_id, self.start())

    def on_instruction(
        self,
        state: HookState,
        address: int,
        size: int,
        registers: dict[int, int],
        code: bytes,
        *,
        continues: bool = True,
    ) -> bool:
        """Call the hook once; the state is updated. Returns whether it stopped the engine.

        `continues` says that the page after that of `address` can be fetched.
        """
        self.registers, self.address, self.code, self.continues = registers, address, code, continues
        self.stopped, self.saved = False, 0
        functions = ("stop", "reg_read", "vmem_read", "vmem_translate", "context_save")
        for index, name in enumerate(functions):
            setattr(state, name, CALLS + 16 * index)
        state.ram, state.ram_size, state.context = RAM, 1 << 17, CONTEXT
        state.tables[:] = TABLES
        state.general_register[:] = REGISTER_IDS
        self.place(address, code)
        self._call("on_instruction", state, address, size)
        return self.stopped

    def enter(self, state: HookState, registers: ProcessorState, parts: bytes, start: Callable[[], int]) -> int:
        """Enter an engine whose `uc_emu_start` is `start`. The state is updated; `parts` are at `BYTES`."""
        state.context, state.context_restore, state.emu_start = CONTEXT, CALLS + 64, START
        state.registers = RAM
        self.uc.mem_write(RAM, bytes(registers))
        self.uc.mem_write(BYTES, parts)
        self.saved, self.start = 0, start
        self.asked.clear()
        self._call("enter", state)
        result = int(self.uc.reg_read(self.result_id)) & 0xFFFF_FFFF
        content = bytes(self.uc.mem_read(RAM, ctypes.sizeof(registers)))
        ctypes.memmove(ctypes.addressof(registers), content, len(content))
        return result - (result >> 31 << 32)

    def deliver_known(self, state: HookState, registers: ProcessorState) -> bool:
        """Deliver an INT if it is a known one. State and registers are updated."""
        state.registers = RAM
        self.uc.mem_write(RAM, bytes(registers))
        self._call("deliver_known", state)
        content = bytes(self.uc.mem_read(RAM, ctypes.sizeof(registers)))
        ctypes.memmove(ctypes.addressof(registers), content, len(content))
        return bool(self.uc.reg_read(self.result_id) & 0xFFFF_FFFF)

    def place(self, address: int, code: bytes) -> None:
        """Put code into the page to which all linear addresses are mapped, with zeros after it."""
        self.uc.mem_write(RAM + PAGE + address % 4096, code.ljust(16, b"\0")[: 4096 - address % 4096])

    def content(self, address: int, size: int) -> bytes:
        """The bytes at a linear address."""
        return b"".join(bytes(self.uc.mem_read(RAM + PAGE + (address + n) % 4096, 1)) for n in range(size))

    def on_device_read(self, window: Window, memory: bytes, offset: int, size: int) -> int:
        """Read at an offset while the window, which is updated, shows `memory`; `asked` are the reads of the bus."""
        self.asked.clear()
        self.uc.mem_write(BYTES, memory)
        window.memory, window.bus = BYTES, BUS
        self._call("on_device_read", window, offset, size)
        return int(self.uc.reg_read(self.result_id))

    def on_device_write(self, window: Window, memory: bytes, offset: int, size: int, value: int) -> bytes:
        """Write at an offset while the window, which is updated, shows `memory`. Returns the memory afterwards."""
        self.asked.clear()
        self.uc.mem_write(BYTES, memory)
        window.memory, window.bus_for_writes = BYTES, BUS
        self._call("on_device_write", window, offset, size, value)
        return bytes(self.uc.mem_read(BYTES, len(memory)))

    def on_translation(self, address: int, size: int, pages: dict[int, int], ram_size: int) -> bytes:
        """Report a block, and return the noted lines, for the given pages of RAM."""
        self.pages = pages
        state = TranslationState(lines=RAM, ram_size=ram_size, vmem_translate=CALLS + 48)
        self.uc.mem_write(RAM, bytes(ram_size // LINE_SIZE))
        self.uc.mem_write(BYTES, struct.pack("<QHH", address, 1, size))
        self._call("on_translation", state, BYTES, 0)
        return bytes(self.uc.mem_read(RAM, ram_size // LINE_SIZE))

    def _call(self, entry: str, state: HookState | Window | TranslationState, *arguments: int) -> None:
        """Call an entry point, whose last argument is the state."""
        self.uc.mem_write(STATE, bytes(state))
        for number, value in zip(self.arguments, (0, *arguments, STATE), strict=False):
            self.uc.reg_write(number, value)
        stack = STACK - 8
        self.uc.mem_write(stack, struct.pack("<Q", DONE))
        self.uc.reg_write(self.stack, stack if not self.link else STACK)
        if self.link:
            self.uc.reg_write(self.link, DONE)
        self.uc.emu_start(CODE + self.entries[entry], DONE)
        size = ctypes.sizeof(state)
        ctypes.memmove(ctypes.addressof(state), bytes(self.uc.mem_read(STATE, size)), size)
