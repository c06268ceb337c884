"""Unicorn's translations, and their removal when RAM changes under them.

Unicorn keeps translations, whatever is written to RAM afterwards: by devices, interrupt delivery (stack frames),
page-table flags, a loaded snapshot, inputs, and instructions, whose stores to executable pages are made in
code_pages.py. So `Ram.code_lines` marks the lines of RAM from which a block was translated. `Ram` collects the ranges
written there (`Ram.stale_code`) and makes the processor stop before its next instruction; `drop` removes their
translations from Unicorn.
"""

import ctypes

from unicorn import UC_HOOK_EDGE_GENERATED, UC_PROT_EXEC, Uc
from unicorn.unicorn_py3.unicorn import uclib

from machine.architecture.unicorn_ffi import emu_start, engine_handle
from machine.bus.ram import LINE_SIZE, PAGE_SIZE, Ram, RamImage
from machine.processor.native.loading import load
from machine.processor.step_hook import HookState, add_hook

_TWO_BLOCKS = bytes.fromhex("eb00f4")  # JMP to the next instruction; HLT


class _Block(ctypes.Structure):
    """`struct block` of translation_hook.c, which is Unicorn's uc_tb."""

    _fields_ = [("address", ctypes.c_uint64), ("instructions", ctypes.c_uint16), ("size", ctypes.c_uint16)]


class TranslationState(ctypes.Structure):
    """`struct translations` of translation_hook.c."""

    _fields_ = [
        ("lines", ctypes.c_void_p),
        ("ram_size", ctypes.c_uint64),
        *[(name, ctypes.c_void_p) for name in ("vmem_translate", "debt")],
    ]


class Translations:
    """The translations of one engine: tracked in native code, or in Python if the host cannot load it."""

    def __init__(self, uc: Uc, ram: Ram, *, portable: bool) -> None:
        self._uc = uc
        self._ram = ram
        self._state: TranslationState | None = None
        entries = None if portable else load("translation_hook")
        if entries is not None:
            self._attach_native(entries[0])
        else:
            self._attach_portable()
        self._execute_first_block()

    def _attach_native(self, entry: int) -> None:
        self._debt = ctypes.c_uint64()
        self._state = TranslationState(
            lines=ctypes.addressof(ctypes.c_char.from_buffer(self._ram.code_lines)),
            ram_size=self._ram.size,
            vmem_translate=ctypes.cast(uclib.uc_vmem_translate, ctypes.c_void_p).value,
            debt=ctypes.addressof(self._debt),
        )
        add_hook(self._uc, UC_HOOK_EDGE_GENERATED, entry, ctypes.byref(self._state))

    def charge_to(self, hook: HookState) -> None:
        """Add translated instructions to the debt of the instruction hook. Only native hooks do this."""
        if self._state is not None:
            self._state.debt = ctypes.addressof(hook) + vars(HookState)["debt"].offset

    def _attach_portable(self) -> None:
        block, void = ctypes.POINTER(_Block), ctypes.c_void_p
        self._callback = ctypes.CFUNCTYPE(None, void, block, block, void)(self._on_translation)
        add_hook(self._uc, UC_HOOK_EDGE_GENERATED, self._callback)

    def _on_translation(self, _uc: int, translated: "ctypes._Pointer[_Block]", _before: object, _user: int) -> None:
        """See `on_translation` in translation_hook.c."""
        block = translated.contents
        size = block.size or 1
        here = min(size, PAGE_SIZE - block.address % PAGE_SIZE)
        if size > here:
            self._note(block.address + here, size - here)
        self._note(block.address, here)

    def _note(self, address: int, size: int) -> None:
        """Mark the lines of bytes that are in one page."""
        page = ctypes.c_uint64()
        linear = ctypes.c_uint64(address & -PAGE_SIZE)
        if uclib.uc_vmem_translate(self._uc._uch, linear, UC_PROT_EXEC, ctypes.byref(page)):
            return
        if page.value + PAGE_SIZE <= self._ram.size:
            at = page.value + address % PAGE_SIZE
            first, end = at // LINE_SIZE, (at + size - 1) // LINE_SIZE + 1
            self._ram.code_lines[first:end] = b"\1" * (end - first)

    def _execute_first_block(self) -> None:
        """Make Unicorn leave a block before anything else runs, because it reports no translation until then."""
        self._ram.write(0, _TWO_BLOCKS)
        emu_start(engine_handle(self._uc), 0, 0, 0, 0)
        self._ram.load(RamImage(()))
        self._uc.ctl_flush_tb()

    def drop(self, offset: int = 0) -> None:
        """Drop the translations of written ranges. Their linear addresses are `offset` above the physical ones."""
        stale, self._ram.stale_code = self._ram.stale_code, []
        for where in stale:
            for page in range(where.start & -PAGE_SIZE, where.stop, PAGE_SIZE):  # each may be a separate region
                if self._ram.fetched_pages[page // PAGE_SIZE]:
                    self._uc.ctl_remove_cache(
                        offset + max(page, where.start), offset + min(page + PAGE_SIZE, where.stop)
                    )
