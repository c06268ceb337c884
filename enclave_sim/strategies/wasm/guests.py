"""Guests: valid WebAssembly modules that use the whole guest profile, obey the contract and terminate."""

from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st

from enclave_sim.enclave.engine.profile import PAGE_BYTES
from enclave_sim.memory_map import region
from enclave_sim.strategies.bounds import check_range, check_sizes
from enclave_sim.strategies.wasm.builder import Options
from enclave_sim.strategies.wasm.encoding import encode_module
from enclave_sim.strategies.wasm.module import ModuleSource
from enclave_sim.strategies.wasm.statements import generate
from enclave_sim.strategies.wasm.text import module_text

MAX_STATEMENTS = 256
_ANY = st.binary(max_size=32)
_LONG = st.binary(min_size=8, max_size=32)
_TAPES = _ANY | _LONG
"""Makes long tapes likely. They still shrink to short ones, included in the first alternative."""


@dataclass(frozen=True)
class WasmGuest:
    """A generated guest. Its repr is WebAssembly text."""

    source: ModuleSource
    """The module as data."""

    @cached_property
    def module(self) -> bytes:
        """The module in the binary format, unsigned."""
        return encode_module(self.source)

    @cached_property
    def text(self) -> str:
        """The module in the text format. wasmtime's `wat2wasm` makes the same module from it."""
        return module_text(self.source)

    def __repr__(self) -> str:
        return f"WasmGuest\n{self.text}"

    def _repr_pretty_(self, printer: object, _cycle: bool) -> None:
        """Print a failing example for Hypothesis."""
        printer.text(repr(self))  # type: ignore[attr-defined]


def wasm_guests(
    *,
    min_size: int = 0,
    max_size: int = 8,
    memory_pages: int = 2,
    traps: bool = True,
    host_calls: bool = True,
) -> st.SearchStrategy[WasmGuest]:
    """Draw guests. They shrink towards an empty `_start`.

    A guest uses less than 300,000 units of fuel (nanoseconds of virtual time), however it ends.

    Args:
        min_size: The minimum number of statements of `_start`.
        max_size: The maximum number of statements of `_start`, at most 256.
        memory_pages: The maximum number of memory pages, 1 to 64 of 64 KiB.
        traps: Let some guests trap: they access, fill or copy memory out of bounds, divide by zero, convert a float
            that fits no integer, execute `unreachable`, call an element of the table that is missing or has another
            type, or recurse without end. If False, no guest traps.
        host_calls: Let guests import host functions.

    Returns:
        A strategy for guests; `module` is the binary of one.

    Raises:
        ConfigurationError: The bounds cannot be met.
    """
    check_sizes(min_size, max_size, MAX_STATEMENTS)
    check_range("memory_pages", memory_pages, 1, region("heap").size // PAGE_BYTES)
    options = Options(traps, memory_pages, host_calls)
    tapes = st.lists(_TAPES, min_size=min_size, max_size=max_size)
    return tapes.map(lambda tapes: WasmGuest(generate(tapes, options)))
