"""The resident engine: the kernel's own VMM runs the guest in ring 3 (firmware/vmm), as part of the machine.

So there is nothing to run or to save here. The host only puts another guest in the place of a payload.
"""

import struct
from collections.abc import Mapping
from typing import Any

from enclave_sim.enclave.engine.compilation import compile_module
from enclave_sim.enclave.engine.contract import Backtrace, HeapWindow, StoreFinder
from enclave_sim.enclave.engine.linear_memory import LinearMemory
from enclave_sim.enclave.engine.profile import GuestProfile, check
from enclave_sim.enclave.engine.wasmtime_settings import new_engine
from enclave_sim.errors import ConfigurationError
from enclave_sim.memory_map import region
from machine.bus.ram import Ram
from machine.state import State

_PAYLOAD = struct.Struct("<II")
"""The kernel's `struct payload`: base and length of a staged module."""
_LINE = 64
"""The kernel stages modules on cache lines."""


class ResidentEngine:
    """The host's part of the resident engine."""

    def __init__(self, ram: Ram, symbols: Mapping[str, int]) -> None:
        self._ram = ram
        self._symbols = symbols
        self._profile = GuestProfile(region("heap").size)

    def admit(self, module: bytes, code: bytes | None, made_by: bytes | None) -> int:
        """Refuse: the kernel validates payloads itself."""
        raise NotImplementedError

    def instantiate(self, payload: int) -> int:
        """Refuse: the kernel makes guests itself."""
        raise NotImplementedError

    def destroy(self) -> None:
        """Do nothing: the kernel destroys guests itself."""

    def replace(self, payload: int, module: bytes) -> int:
        """Stage another module after all others. The kernel makes the payload's next guest from it.

        Args:
            payload: The number of the payload.
            module: The module.

        Returns:
            The size of its memory in bytes.

        Raises:
            PayloadRejected: The module is outside the profile or the contract.
            ConfigurationError: The staging area has no room for it.
        """
        memory = LinearMemory(HeapWindow(0, self._profile.max_heap_bytes, 0))
        size = check(
            module, compile_module(new_engine(self._profile, memory, check_bounds=False), module), self._profile
        )
        staging, symbols = region("staging"), self._symbols
        count = int.from_bytes(self._ram.read(symbols["payload_count"], 4), "little")
        table = self._ram.read(symbols["payloads"], (count + 1) * _PAYLOAD.size)  # and the trust anchors
        end = max(base + length for base, length in _PAYLOAD.iter_unpack(table))
        base = -(-end // _LINE) * _LINE
        if base + len(module) > staging.end:
            raise ConfigurationError(f"a guest of {len(module)} bytes does not fit the rest of the staging area")
        self._ram.write(base, module)
        self._ram.write(symbols["payloads"] + payload * _PAYLOAD.size, _PAYLOAD.pack(base, len(module)))
        return size

    def backtrace(self) -> Backtrace | None:
        """Return None: the calls are in the machine's memory, and nothing here reads them yet."""
        return None

    def store_finder(self, where: range) -> StoreFinder | None:  # noqa: ARG002
        """Return None: the machine itself finds stores."""
        return None

    def load_progress(self, progress: tuple[Any, ...] | None) -> None:
        """Do nothing: the guest is part of the machine."""

    def save_state(self) -> State:
        """Return no payloads and no progress: they are part of the machine."""
        return {"payloads": (), "progress": None}

    def load_state(self, state: State) -> None:
        """Do nothing: see `save_state`."""
