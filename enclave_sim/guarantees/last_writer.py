"""Who wrote these bytes last? Determinism makes it easy to ask: the run is made again, and watched."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enclave_sim.guarantees.observation import Scenario


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
    by = enclave.program.symbol(rip) or "code that is not the kernel's"
    return f"last written at {address:#x} by {by} (RIP {rip:#x}), at {at_ns} ns"
