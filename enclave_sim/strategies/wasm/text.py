"""Prints modules in the text format, for people and for wasmtime (WebAssembly core specification, 6)."""

import struct
from collections.abc import Iterable, Iterator

from enclave_sim.enclave.engine.profile import ENTRY, NAMESPACE
from enclave_sim.strategies.wasm.instructions import ACCESSES, BLOCK_RESULTS, EMPTY, SourceInstruction
from enclave_sim.strategies.wasm.module import Function, FunctionType, ModuleSource

_RESULT_OF_BLOCK = {code: kind for kind, code in BLOCK_RESULTS.items()}
_FLOATS = {"f32.const": ("<I", "<f", 23, 8), "f64.const": ("<Q", "<d", 52, 11)}
"""The `struct` formats for the bits and the value of a float, and the widths of its fraction and exponent."""


def _float(name: str, bits: int) -> str:
    integer, floating, fraction_bits, exponent_bits = _FLOATS[name]
    sign = "-" if bits >> (fraction_bits + exponent_bits) else ""
    fraction = bits & ((1 << fraction_bits) - 1)
    if bits >> fraction_bits & ((1 << exponent_bits) - 1) == (1 << exponent_bits) - 1:
        return f"{sign}nan:{fraction:#x}" if fraction else f"{sign}inf"
    value: float = struct.unpack(floating, struct.pack(integer, bits))[0]
    return str(int(value)) if value == int(value) and 0 < abs(value) < 1 << 20 else value.hex()


def _types(word: str, types: Iterable[str]) -> str:
    listed = " ".join(types)
    return f" ({word} {listed})" if listed else ""


def _signature(kind: FunctionType) -> str:
    return _types("param", kind[0]) + _types("result", kind[1])


class _Printer:
    def __init__(self, source: ModuleSource) -> None:
        self._source = source
        own = [f"$f{i}" for i in range(len(source.functions) - 1)]
        self._functions = [f"${item}" for item, _ in source.imports] + [*own, f"${ENTRY}"]

    def lines(self) -> Iterator[str]:
        source = self._source
        if source.linked:
            yield ";; the binary has the operands of calls in five bytes each"
        for i, kind in enumerate(source.types):
            yield f"(type $t{i} (func{_signature(kind)}))"
        for item, kind_index in source.imports:
            yield f'(import "{NAMESPACE}" "{item}" (func ${item} (type $t{kind_index})))'
        if source.table:
            yield f"(table {len(source.table)} funcref)"
        if source.memory_pages is not None:
            yield f"(memory {source.memory_pages})"
        for i, variable in enumerate(source.globals):
            yield f"(global $g{i} (mut {variable.type}) {' '.join(map(self._plain, variable.init))})"
        yield f'(export "{ENTRY}" (func ${ENTRY}))'
        for i, variable in enumerate(source.globals):
            if variable.exported:
                yield f'(export "g{i}" (global $g{i}))'
        for slot, run in source.elements:
            yield f"(elem (i32.const {slot}) func {' '.join(self._functions[f] for f in run)})"
        for label, function in zip(self._functions[len(source.imports) :], source.functions, strict=True):
            yield from self._function(label, function)
        for offset, content in source.data:
            escaped = "".join(f"\\{byte:02x}" for byte in content)
            yield f'(data (i32.const {offset}) "{escaped}")'

    def _function(self, label: str, function: Function) -> Iterator[str]:
        parameters, results = self._source.types[function.type]
        named = "".join(f" (param $v{i} {kind})" for i, kind in enumerate(parameters)) + _types("result", results)
        yield f"(func {label} (type $t{function.type}){named}"
        if function.locals:
            yield "  " + " ".join(f"(local $v{i} {kind})" for i, kind in enumerate(function.locals, len(parameters)))
        labels: list[str] = []
        opened = 0
        for instruction in function.body:
            name = instruction.name
            if name == "end":
                labels.pop()
            indent = "  " * (len(labels) + (name != "else"))
            if name in ("block", "loop", "if"):
                labels.append(f"$l{opened}")
                opened += 1
                yield f"{indent}{name} {labels[-1]}{self._block_type(instruction.immediates[0])}"
            elif name in ("br", "br_if", "br_table"):
                yield f"{indent}{name} {' '.join(labels[-1 - depth] for depth in instruction.immediates)}"
            else:
                yield indent + self._plain(instruction)
        yield ")"

    def _block_type(self, code: int) -> str:
        if code == EMPTY:
            return ""
        if code in _RESULT_OF_BLOCK:
            return f" (result {_RESULT_OF_BLOCK[code]})"
        return f" (type $t{code}){_signature(self._source.types[code])}"

    def _plain(self, instruction: SourceInstruction) -> str:
        name, immediates = instruction
        if name in ACCESSES:
            alignment, offset = immediates
            return name + (f" offset={offset}" if offset else "") + f" align={1 << alignment}"
        if name in _FLOATS:
            return f"{name} {_float(name, immediates[0])}"
        if name == "call":
            return f"call {self._functions[immediates[0]]}"
        if name == "call_indirect":
            return f"call_indirect (type $t{immediates[0]})"
        prefix = {"local": "$v", "global": "$g"}.get(name.partition(".")[0], "")
        return " ".join([name, *(f"{prefix}{value}" for value in immediates)])


def module_text(source: ModuleSource) -> str:
    """Return the module in the text format, one instruction per line."""
    return "\n".join(["(module", *(f"  {line}" for line in _Printer(source).lines()), ")"])
