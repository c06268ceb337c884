"""Guests: valid WebAssembly modules over the whole guest profile that keep the contract and come to an end."""

from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st

from enclave_sim.engine.profile import PAGE_BYTES
from enclave_sim.memory_map import region
from enclave_sim.strategies.bounds import check_range, check_sizes
from enclave_sim.strategies.wasm_builder import Options
from enclave_sim.strategies.wasm_encoding import encode_module
from enclave_sim.strategies.wasm_module import ModuleSource
from enclave_sim.strategies.wasm_statements import generate
from enclave_sim.strategies.wasm_text import module_text

MOST_DECISIONS = 4096


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
    min_size: int = 32,
    max_size: int = 96,
    memory_pages: int = 2,
    traps: bool = True,
    host_calls: bool = True,
) -> st.SearchStrategy[WasmGuest]:
    """Guests, each made of `min_size` to `max_size` decisions; one decision makes about one instruction.

    A guest runs for less than 300,000 ns of virtual time (units of fuel), its traps included. Where `traps` is False
    it never traps; where it is True some guests access memory out of bounds, divide by zero, convert what has no
    integer, execute `unreachable`, call through the table what is not there or has another type, or recurse without
    end. `memory_pages` is the most that its memory has, 1 to 64 pages of 64 KiB. Without `host_calls` it imports
    nothing.

    Guests shrink towards an empty `_start`. Raises ConfigurationError for bounds that cannot be met.
    """
    check_sizes(min_size, max_size, MOST_DECISIONS)
    check_range("memory_pages", memory_pages, 1, region("heap").size // PAGE_BYTES)
    options = Options(traps, memory_pages, host_calls)
    return st.binary(min_size=min_size, max_size=max_size).map(
        lambda decisions: WasmGuest(generate(decisions, options))
    )
