"""Raises the privilege level for real, which Unicorn's register interface cannot do.

Writing CS through the interface changes the visible selector and leaves the CPL as it is. So a page outside the
machine's memory holds a world of its own: page tables, a GDT with a 64-bit call gate, a TSS and one far call
through that gate (SDM volume 3, 5.8.5). Executing the call changes the CPL; then the machine's CR3, GDTR and TR
come back. The page is beyond the physical address width that CPUID tells, so that no page table can reach it.
"""

import struct

from unicorn import Uc

from machine.errors import EmulatorFault
from machine.registers import RegisterGroup
from machine.step_hook import HookState, Stop
from machine.unicorn_calls import emu_start, engine_handle

_BASE = 0x80_0000_0000  # bit 39: CPUID tells 39 physical address bits
_SIZE = 0x8000
_TABLES, _DATA = 0x0000, 0x4000
# Linear addresses in the hidden world.
_CALL, _GDT, _TSS, _STACK, _LANDING = 0x0000, 0x1000, 0x1100, 0x2FF0, 0x0200
_CODE_SELECTOR, _GATE_SELECTOR = 0x08, 0x10
_PRESENT_WRITABLE_USER = 7


class PrivilegeGate:
    """Takes the processor from any ring to ring 0, and sets the state it starts there with."""

    def __init__(self, uc: Uc, state: HookState) -> None:
        self._engine = engine_handle(uc)
        self._state = state
        uc.mem_map(_BASE, _SIZE)
        for level in range(3):
            entry = _BASE + 0x1000 * (level + 1) | _PRESENT_WRITABLE_USER
            uc.mem_write(_BASE + 0x1000 * level, struct.pack("<Q", entry))
        for page in range(3):
            entry = _BASE + _DATA + 0x1000 * page | _PRESENT_WRITABLE_USER
            uc.mem_write(_BASE + 0x3000 + 8 * page, struct.pack("<Q", entry))
        far_call = bytes.fromhex("48ff1d00000000") + struct.pack("<QH", 0, _GATE_SELECTOR)
        ring0_code = 0x0020_9A00_0000_0000
        gate = struct.pack("<HHBBHII", _LANDING, _CODE_SELECTOR, 0, 0xEC, 0, 0, 0)
        uc.mem_write(_BASE + _DATA + _CALL, far_call)
        uc.mem_write(_BASE + _DATA + _GDT, struct.pack("<QQ", 0, ring0_code) + gate)
        uc.mem_write(_BASE + _DATA + _TSS, struct.pack("<IQ", 0, _STACK))
        self.current = RegisterGroup(uc, ["CS", "SS", "CR3", "IDTR", "GDTR", "TR"])
        """What delivery looks at; `enter_ring0` puts CR3, GDTR and TR of it back."""
        self._hidden = RegisterGroup(uc, ["CR3", "GDTR", "TR"])
        self._hidden.values[0] = _BASE + _TABLES
        table, task = self._hidden.tables["GDTR"], self._hidden.tables["TR"]
        table.base, table.limit = _GDT, 0x1F
        task.base, task.limit, task.flags = _TSS, 0x67, 0x8B00
        names = ["CR3", "GDTR", "TR", "CS", "SS", "RFLAGS", "RSP", "RIP"]
        self._restored = RegisterGroup(uc, names, self.current.tables)

    def enter_ring0(self, code_selector: int, rip: int, rsp: int, rflags: int) -> None:
        """Continue in ring 0 with these values; SS becomes null, as on a change of privilege.

        `current` must have been read. The instruction count does not change.
        """
        state = self._state
        retired, last = state.retired, state.last
        state.deadline, state.watch_if = retired + 1, 0
        self._hidden.write()
        status = emu_start(self._engine, _CALL, 0, 0, 0)
        if status or state.reason != Stop.DEADLINE:
            raise EmulatorFault(f"the privilege gate did not open: error {status}, stop {state.reason}")
        state.retired, state.last = retired, last
        restored = self._restored
        restored.values[:] = [self.current.values[2], code_selector, 0, rflags, rsp, rip]
        restored.write()
        state.cpl, state.next = 0, rip
