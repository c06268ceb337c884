"""Who wrote these bytes last? Determinism makes it easy to ask: the run is made again, and watched."""

import ctypes
from bisect import bisect_right
from typing import TYPE_CHECKING

from unicorn import UC_HOOK_MEM_WRITE

import firmware
from machine.step_hook import add_hook

if TYPE_CHECKING:
    from enclave_sim.guarantees.observation import Scenario

_SPAN = 0x1000


def describe_last_writer(scenario: "Scenario", base: int, length: int) -> str:
    """In words, the last instruction that wrote to a physical range: its address, symbol and time."""
    enclave = scenario.enclave()
    cpu = enclave.machine.cpu
    last: list[tuple[int, int, int]] = []

    def written(_uc: int, _kind: int, address: int, size: int, _value: int, _user: int) -> None:
        if address < base + length and base < address + size:
            last[:] = [(address, cpu.hook.last, enclave.machine.clock.now_ns)]

    prototype = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
    )
    add_hook(cpu.uc, UC_HOOK_MEM_WRITE, cpu.callback(prototype, written))
    cpu.uc.ctl_flush_tb()
    enclave.run(scenario.limit_ns)
    if not last:
        return "written last by no instruction: by the loader, the guest engine or the processor's own pushes"
    address, rip, at_ns = last[0]
    return f"last written at {address:#x} by {symbol_at(rip)} (RIP {rip:#x}), at {at_ns} ns"


def symbol_at(address: int) -> str:
    """The kernel's symbol that an address belongs to, with the offset; or that there is none."""
    known = sorted((value, name) for name, value in firmware.symbols().items())
    index = bisect_right(known, (address, "\U0010ffff")) - 1
    if index < 0 or address - known[index][0] > _SPAN:
        return "code that is not the kernel's"
    value, name = known[index]
    return f"{name}+{address - value:#x}" if address != value else name
