"""Who wrote these bytes last? Determinism makes it easy to ask: the run is made again, and watched."""

from bisect import bisect_right
from typing import TYPE_CHECKING

import firmware

if TYPE_CHECKING:
    from enclave_sim.guarantees.observation import Scenario

_SPAN = 0x1000


def describe_last_writer(scenario: "Scenario", base: int, length: int) -> str:
    """In words, the last instruction that wrote to a physical range: its address, symbol and time."""
    enclave = scenario.enclave()
    cpu = enclave.machine.cpu
    last: list[tuple[int, int, int]] = []

    def seen(writes: bool, address: int, _size: int) -> None:
        if writes:
            last[:] = [(address, cpu.hook.last, enclave.machine.clock.now_ns)]

    cpu.watch_memory(range(base, base + length), seen)
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
