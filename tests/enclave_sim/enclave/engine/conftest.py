"""A guest heap without a machine, and an engine on it."""

import ctypes
from collections.abc import Callable, Iterable
from itertools import chain, repeat

import pytest

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.engine.contract import Departure, HeapWindow, Returned, Trapped
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.wasmtime_engine import WasmtimeEngine
from machine.bus.host_memory import HostMemory

PAGE = 65536
IMPORTS = """
  (import "aether" "get_status" (func $status (result i32)))
  (import "aether" "emit_signal" (func $emit (param i32)))
  (import "aether" "shred_self" (func $shred))
"""


class Checkpoints:
    """Called at every checkpoint of an engine; tells whether the operation is cancelled."""

    def __init__(self) -> None:
        self.cancels: Callable[[], bool] = lambda: False

    def __call__(self) -> bool:
        return self.cancels()


class Bench:
    """A heap of 16 pages with an engine; `guarded` tells whether inaccessible address space follows the heap. Otherwise
    two readable pages full of 0xEE follow, which code without bounds checks would read.
    """

    def __init__(
        self, *, guarded: bool = True, features: Iterable[str] = (), pages: int = 16, portable: bool = False
    ) -> None:
        self.size = pages * PAGE
        behind = 0 if guarded else 2 * PAGE
        self.memory = HostMemory(self.size + behind, 9 << 30 if guarded else 0)
        ctypes.memset(self.memory.address + self.size, 0xEE, behind)
        window = HeapWindow(self.memory.address, self.size, self.memory.reserve)
        self.checkpoints = Checkpoints()
        self.engine = WasmtimeEngine(
            window, GuestProfile(self.size, frozenset(features)), Cancellation(self.checkpoints), portable=portable
        )

    def admit(self, text: str, *, imports: bool = True) -> int:
        from wasmtime import wat2wasm

        return self.engine.admit(bytes(wat2wasm(f"(module {IMPORTS if imports else ''} {text})")), None)

    def start(self, text: str, *, imports: bool = True) -> int:
        """Zero the heap and make a guest; returns the size of its linear memory."""
        ctypes.memset(self.memory.address, 0, self.size)
        return self.engine.instantiate(self.admit(text, imports=imports))

    def run(self, budgets: Iterable[int] = (), answer: int = 0x1F) -> list[Departure]:
        """Resume with `budgets`, then without limit, until the guest is over."""
        departures: list[Departure] = []
        for budget in chain(budgets, repeat(1 << 40)):
            departures.append(self.engine.resume(answer, budget))
            if isinstance(departures[-1], Returned | Trapped):
                break
        return departures

    def heap(self) -> bytes:
        return ctypes.string_at(self.memory.address, self.size)

    def behind(self) -> bytes:
        return ctypes.string_at(self.memory.address + self.size, self.memory.size - self.size)


@pytest.fixture(scope="session")
def bench() -> Callable[..., Bench]:
    return Bench


@pytest.fixture(params=[True, False], ids=["guarded", "portable"])
def both(request: pytest.FixtureRequest) -> Bench:
    return Bench(guarded=request.param)
