"""The guest contract and the WebAssembly profile: what a payload may import, export and use.

The profile is the target Lime1 (`enclave_sim.payload.wasm.features`), the default of compilers. It is deterministic if
NaNs are canonical. The features in `OPTIONAL` are off unless a run opts in, which is recorded.
"""

from typing import TYPE_CHECKING

import msgspec

from enclave_sim.errors import ConfigurationError
from enclave_sim.payload.errors import PayloadCheck, PayloadRejected
from enclave_sim.payload.wasm.features import BULK_MEMORY, REFERENCE_TYPES, features_beyond_lime1
from enclave_sim.payload.wasm.sections import SectionId, decode_u32, sections
from enclave_sim.similar import did_you_mean
from enclave_sim.specification import HostFunction

if TYPE_CHECKING:
    from wasmtime import Module

NAMESPACE = "aether"
ENTRY = "_start"
PAGE_BYTES = 65536
TABLE_LIMIT = 65536
"""The largest number of elements of a table, initially and after growing."""
_Signature = tuple[tuple[str, ...], tuple[str, ...]]
CONTRACT: dict[str, tuple[HostFunction, _Signature]] = {
    "get_status": (HostFunction.GET_STATUS, ((), ("i32",))),
    "emit_signal": (HostFunction.EMIT_SIGNAL, (("i32",), ())),
    "shred_self": (HostFunction.SHRED_SELF, ((), ())),
}
_SIMD = "simd"
OPTIONAL = {
    BULK_MEMORY: frozenset([BULK_MEMORY]),
    REFERENCE_TYPES: frozenset([BULK_MEMORY, REFERENCE_TYPES]),
    _SIMD: frozenset([_SIMD]),
}
"""The features that a run can enable, each with all that it includes."""
_ON = ("wasm_bulk_memory", "wasm_reference_types")
"""Features of which Lime1 has a part. wasmtime cannot enable only that part, so `check` refuses the rest."""
_OFF = (
    "wasm_relaxed_simd",
    "wasm_threads",
    "wasm_tail_call",
    "wasm_multi_memory",
    "wasm_memory64",
    "wasm_exceptions",
    "wasm_function_references",
    "wasm_gc",
    "wasm_wide_arithmetic",
    "wasm_custom_page_sizes",
    "wasm_stack_switching",
    "wasm_compact_imports",
    "wasm_component_model",
    "wasm_component_model_async",
)

_FEATURES = (
    ("relaxed SIMD", "relaxed SIMD"),
    ("SIMD", "simd"),
    ("threads", "threads"),
    ("memory64", "memory64"),
    ("multiple memories", "multi-memory"),
    ("function references", "function references"),
    ("function-references", "function references"),
    ("gc ", "GC"),
    ("`gc`", "GC"),
    ("global.get of locally defined global", "GC"),
    ("exceptions", "exceptions"),
    ("exception refs", "exceptions"),
    ("tail calls", "tail calls"),
    ("wide arithmetic", "wide arithmetic"),
    ("custom page sizes", "custom page sizes"),
    ("stack switching", "stack switching"),
    ("compact imports", "compact imports"),
    ("memory control", "memory control"),
    ("component model", "the component model"),
)
"""Words in wasmtime's (wasmparser's) errors, with the feature that each means; the first match counts."""


class GuestProfile(msgspec.Struct, frozen=True):
    """The limits of a guest: heap in bytes, and enabled features. Raises ConfigurationError for unknown ones."""

    max_heap_bytes: int
    features: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = sorted(self.features - OPTIONAL.keys())
        if unknown:
            near = did_you_mean(unknown[0], OPTIONAL)
            raise ConfigurationError(
                f"unknown WebAssembly feature {unknown[0]!r}; {near}there are {', '.join(OPTIONAL)}"
            )

    def settings(self) -> dict[str, bool]:
        """Return the switches of wasmtime by name, in a fixed order."""
        return {
            **dict.fromkeys(_ON, True),
            "wasm_simd": _SIMD in self.features,
            **dict.fromkeys(_OFF, False),
        }

    def check_features(self, module: bytes) -> None:
        """Refuse a valid module for a feature that is on in wasmtime but off in the run. Raises PayloadRejected."""
        allowed = frozenset[str]().union(*(OPTIONAL[feature] for feature in self.features))
        for feature, use in features_beyond_lime1(module).items():
            if feature not in allowed:
                raise _needs(feature, f"{use.what} at byte {use.offset}")


def _rejected(message: str) -> PayloadRejected:
    return PayloadRejected(PayloadCheck.PROFILE, message)


def _describe(signature: _Signature) -> str:
    parameters, results = signature
    return f"({' '.join(parameters)}) -> ({' '.join(results)})"


def compile_error(error: Exception) -> PayloadRejected:
    """Turn wasmtime's error for a module into one line, which names the needed feature if it is off."""
    from enclave_sim.payload.wasm.refusals import cause_of, invalid, place_of  # noqa: PLC0415 - few are refused

    cause = cause_of(error)
    for words, feature in _FEATURES:
        if words in cause:
            return _needs(feature, place_of(error))
    return _rejected(f"the module is not valid WebAssembly: {invalid(error)}")


def _needs(feature: str, found: str) -> PayloadRejected:
    how = "which is never part of the guest profile; compile the guest without it"
    if feature in OPTIONAL:
        how = f"which is off unless the run opts in with feature {feature!r}"
    return _rejected(f"the module needs {feature}, {how}" + (f" ({found})" if found else ""))


def check(module: bytes, compiled: "Module", profile: GuestProfile) -> int:
    """Check a compiled module against the contract, and return its memory's size in bytes. Raises PayloadRejected."""
    from wasmtime import FuncType  # noqa: PLC0415 - only with an engine at hand

    profile.check_features(module)
    if any(section.id == SectionId.START for section in sections(module)):
        raise _rejected(
            f"the module has a start section; a guest is entered by its export {ENTRY} alone, so have that function "
            f"exported as {ENTRY} instead (AssemblyScript: --exportStart {ENTRY})"
        )
    for item in compiled.imports:
        _check_import(f"{item.module}.{item.name}", item.type)
    entry = next((item.type for item in compiled.exports if item.name == ENTRY), None)
    if not isinstance(entry, FuncType):
        raise _rejected(f"the module exports no function {ENTRY}; it must export {ENTRY} () -> ()")
    if _signature(entry) != ((), ()):
        raise _rejected(f"export {ENTRY} is {_describe(_signature(entry))}; it must be () -> ()")
    return _check_sizes(module, profile)


def _check_import(name: str, found: object) -> None:
    known = {f"{NAMESPACE}.{function}": signature for function, (_, signature) in CONTRACT.items()}
    kind = type(found).__name__.removesuffix("Type").lower()
    if kind != "func":
        raise _rejected(f"import {name} is a {kind}; a guest may import functions only and has its own {kind}")
    if name not in known:
        raise _rejected(f"import {name} is outside the contract; a guest may import {', '.join(known)}")
    if _signature(found) != known[name]:
        raise _rejected(f"import {name} is {_describe(_signature(found))}; it must be {_describe(known[name])}")


def _check_sizes(module: bytes, profile: GuestProfile) -> int:
    """Check declared sizes, which wasmtime does not report. Return the memory's size in bytes."""
    memory_bytes = 0
    for section in sections(module):  # well-formed, because the module has been validated (core specification, 5.5)
        if section.id == SectionId.MEMORY:
            count, at = decode_u32(section.payload, 0)
            if count:
                pages, _ = decode_u32(section.payload, at + 1)
                memory_bytes = pages * PAGE_BYTES
        if section.id == SectionId.TABLE:
            _check_tables(section.payload)
    if memory_bytes > profile.max_heap_bytes:
        pages, most = memory_bytes // PAGE_BYTES, profile.max_heap_bytes // PAGE_BYTES
        raise _rejected(f"the memory has {pages} pages of 64 KiB; the guest heap holds {most}")
    return memory_bytes


def _check_tables(payload: bytes) -> None:
    count, at = decode_u32(payload, 0)
    for _ in range(count):
        has_maximum = payload[at + 1] & 1
        least, at = decode_u32(payload, at + 2)
        if has_maximum:
            _, at = decode_u32(payload, at)
        if least > TABLE_LIMIT:
            raise _rejected(f"a table has {least} elements; at most {TABLE_LIMIT} are allowed")


def _signature(kind: object) -> _Signature:
    parameters, results = kind.params, kind.results  # type: ignore[attr-defined]
    return tuple(str(p) for p in parameters), tuple(str(r) for r in results)
