"""A guest heap without a machine, and an engine on it for modules in the binary format."""

import ctypes

import pytest

from enclave_sim.enclave.engine.contract import Departure, HeapWindow, Returned, Trapped
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.wasmtime_engine import WasmtimeEngine
from enclave_sim.memory_map import region
from machine.bus.host_memory import HostMemory


class Bench:
    """An engine on the whole guest heap."""

    def __init__(self) -> None:
        self.size = region("heap").size
        self.memory = HostMemory(self.size, 9 << 30)
        self.fresh()

    def fresh(self) -> None:
        """Make a new engine, because an engine keeps all admitted modules."""
        window = HeapWindow(self.memory.address, self.size, self.memory.reserve)
        self.engine = WasmtimeEngine(window, GuestProfile(self.size))

    def run(self, module: bytes) -> list[Departure]:
        """Admit a module and run it in a zeroed heap until it is over."""
        ctypes.memset(self.memory.address, 0, self.size)
        self.engine.instantiate(self.engine.admit(module, None))
        departures: list[Departure] = []
        while not departures or not isinstance(departures[-1], Returned | Trapped):
            departures.append(self.engine.resume(0x8000_001F, 1 << 40))
        return departures


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()
