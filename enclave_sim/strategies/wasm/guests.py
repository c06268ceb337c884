"""Guests: valid WebAssembly modules over the whole guest profile that keep the contract and come to an end."""

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

MOST_STATEMENTS = 256
_ANY = st.binary(max_size=32)
_LONG = st.binary(min_size=8, max_size=32)
_TAPES = _ANY | _LONG
"""Long tapes are as likely as short ones. They shrink all the same: whatever is in the second is in the first, too."""


@dataclass(frozen=True)
class WasmGuest:
    """A generated guest. It is printed as WebAssembly text."""

    source: ModuleSource
    """The module as data."""

    @cached_property
    def module(self) -> bytes:
        """The module in the binary format; not signed."""
        return encode_module(self.source)

    @cached_property
    def text(self) -> str:
        """The module in the text format, which wasmtime's `wat2wasm` turns into the same module."""
        return module_text(self.source)

    def __repr__(self) -> str:
        return f"WasmGuest\n{self.text}"

    def _repr_pretty_(self, printer: object, _cycle: bool) -> None:
        """How Hypothesis prints a failing example."""
        printer.text(repr(self))  # type: ignore[attr-defined]


def wasm_guests(
    *,
    min_size: int = 0,
    max_size: int = 8,
    memory_pages: int = 2,
    traps: bool = True,
    host_calls: bool = True,
) -> st.SearchStrategy[WasmGuest]:
    """Guests whose `_start` has `min_size` to `max_size` statements, at most 256.

    A guest uses less than 300,000 units of fuel (nanoseconds of virtual time), however it ends. Where `traps` is False
    it never traps. Where it is True some guests access memory out of bounds, divide by zero, convert what no integer
    holds, execute `unreachable`, call through the table what is not there or has another type, or recurse without end.
    `memory_pages` is the most that its memory has, 1 to 64 pages of 64 KiB. Without `host_calls` it imports nothing.

    Guests shrink towards an empty `_start`. Raises ConfigurationError for bounds that cannot be met.
    """
    check_sizes(min_size, max_size, MOST_STATEMENTS)
    check_range("memory_pages", memory_pages, 1, region("heap").size // PAGE_BYTES)
    options = Options(traps, memory_pages, host_calls)
    tapes = st.lists(_TAPES, min_size=min_size, max_size=max_size)
    return tapes.map(lambda tapes: WasmGuest(generate(tapes, options)))
