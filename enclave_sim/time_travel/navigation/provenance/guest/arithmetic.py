"""Numeric instructions of WebAssembly on bit patterns (core specification, 4.3).

The common integer instructions are computed here. For the others, and for all of floating point, a module with one
function for each instruction is executed by wasmtime, so that results are those of guests, NaNs included.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from enclave_sim.payload.wasm.opcodes import OPCODES, Immediate

_BITS = {"i32": 32, "i64": 64, "f32": 32, "f64": 64}
_UNARY = frozenset("eqz clz ctz popcnt abs neg ceil floor trunc nearest sqrt extend8_s extend16_s extend32_s".split())
_COMPARISONS = frozenset("eqz eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u lt gt le ge".split())
_NUMERIC = range(0x45, 0xC5)
_SATURATING = range(8)


class TrapError(Exception):
    """The instruction traps."""


def signature(name: str) -> tuple[tuple[str, ...], str]:
    """Return the types of the operands of a numeric instruction, and that of its result."""
    kind, _, operation = name.partition(".")
    words = operation.split("_")
    source = next((word for word in words if word in _BITS), None)
    if source is not None:
        return (source,), kind
    operands = (kind,) if operation in _UNARY else (kind, kind)
    return operands, "i32" if operation in _COMPARISONS else kind


def bits(kind: str) -> int:
    """Return the number of bits of a type."""
    return _BITS[kind]


def is_numeric(name: str) -> bool:
    """Report whether an instruction is one that this file computes."""
    return name in _names()


@cache
def _names() -> frozenset[str]:
    return frozenset(
        name
        for opcode, (name, immediate) in OPCODES.items()
        if immediate is Immediate.NOTHING
        and ((len(opcode) == 1 and opcode[0] in _NUMERIC) or (opcode[0] == 0xFC and opcode[1] in _SATURATING))
    )


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> width - 1 else value


def _integer(width: int) -> dict[str, Callable[..., int]]:
    """Return the common instructions on integers of some bits."""
    mask = (1 << width) - 1
    return {
        "add": lambda a, b: a + b & mask,
        "sub": lambda a, b: a - b & mask,
        "mul": lambda a, b: a * b & mask,
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
        "shl": lambda a, b: a << b % width & mask,
        "shr_u": lambda a, b: a >> b % width,
        "shr_s": lambda a, b: _signed(a, width) >> b % width & mask,
        "rotl": lambda a, b: (a << b % width | a >> (width - b % width)) & mask,
        "rotr": lambda a, b: (a >> b % width | a << (width - b % width)) & mask,
        "eqz": lambda a: int(not a),
        "eq": lambda a, b: int(a == b),
        "ne": lambda a, b: int(a != b),
        "lt_u": lambda a, b: int(a < b),
        "gt_u": lambda a, b: int(a > b),
        "le_u": lambda a, b: int(a <= b),
        "ge_u": lambda a, b: int(a >= b),
        "lt_s": lambda a, b: int(_signed(a, width) < _signed(b, width)),
        "gt_s": lambda a, b: int(_signed(a, width) > _signed(b, width)),
        "le_s": lambda a, b: int(_signed(a, width) <= _signed(b, width)),
        "ge_s": lambda a, b: int(_signed(a, width) >= _signed(b, width)),
    }


COMMON: dict[str, Callable[..., int]] = {
    **{f"i32.{name}": function for name, function in _integer(32).items()},
    **{f"i64.{name}": function for name, function in _integer(64).items()},
    "i32.wrap_i64": lambda a: a & 0xFFFF_FFFF,
    "i64.extend_i32_u": lambda a: a,
    "i64.extend_i32_s": lambda a: _signed(a, 32) & (1 << 64) - 1,
}


def compute(name: str, *operands: int) -> int:
    """Return the result of a numeric instruction, as an unsigned bit pattern. Raises TrapError."""
    known = COMMON.get(name)
    return known(*operands) if known is not None else _executed(name, operands)


def _executed(name: str, operands: tuple[int, ...]) -> int:
    from wasmtime import Trap  # noqa: PLC0415

    store, functions = _module()
    types, result = signature(name)
    given = [_signed(value, _BITS[kind]) for value, kind in zip(operands, types, strict=True)]
    try:
        found: int = functions[name](store, *given)
    except Trap as trap:
        raise TrapError(name) from trap
    return found & (1 << _BITS[result]) - 1


@cache
def _module() -> tuple[Any, dict[str, Any]]:
    """Return the store and the functions of the module, by instruction."""
    from wasmtime import Config, Engine, Instance, Module, Store, wat2wasm  # noqa: PLC0415 - few guests need it

    lines = []
    for name in sorted(_names()):
        types, result = signature(name)
        parameters = " ".join(f"(param i{_BITS[kind]})" for kind in types)
        pushed = " ".join(f"(local.get {index}) {_from_bits(kind)}" for index, kind in enumerate(types))
        lines.append(
            f'(func (export "{name}") {parameters} (result i{_BITS[result]}) {pushed} {name} {_to_bits(result)})'
        )
    config = Config()
    config.cranelift_nan_canonicalization = True
    store = Store(Engine(config))
    instance = Instance(store, Module(store.engine, bytes(wat2wasm(f"(module {' '.join(lines)})"))), [])
    return store, {name: instance.exports(store)[name] for name in _names()}


def _from_bits(kind: str) -> str:
    return f"{kind}.reinterpret_i{_BITS[kind]}" if kind[0] == "f" else ""


def _to_bits(kind: str) -> str:
    return f"i{_BITS[kind]}.reinterpret_{kind}" if kind[0] == "f" else ""
