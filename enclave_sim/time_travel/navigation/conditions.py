"""Conditions typed by users: `rdi == 1 and u32(status) & 4`.

Names are registers, symbols, `cpl` and `now` (virtual ns); `u8`, `u16`, `u32` and `u64` read memory at a linear
address. Numbers are unsigned 64-bit integers. The syntax is Python's.
"""

import ast
import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.errors import ConfigurationError
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine

HELP = "rdi == 1 and u32(status) & 4; also cpl, now, rip, rflags, cr3"
_MASK = (1 << 64) - 1
_SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
_OTHERS = ("rip", "rflags", "cpl", "now", "cr0", "cr2", "cr3", "cr4")
_DEEPEST = 32
_Value = Callable[[Any], int]
"""Evaluated for the session."""

_BINARY: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
    ast.LShift: lambda a, b: a << b if b < 64 else 0, ast.RShift: lambda a, b: a >> b if b < 64 else 0,
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[int], int]] = {
    ast.Not: lambda a: not a, ast.Invert: operator.invert, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip


class _NotMapped(Exception):  # noqa: N818 - it only makes the condition false
    pass


class TypedCondition:
    """A condition for a breakpoint or watchpoint. It is false if it reads memory that is not mapped to RAM.

    Args:
        text: The user's text.
        program: The kernel, whose symbols the condition may use.

    Raises:
        ConfigurationError: The text is not a condition.
    """

    def __init__(self, text: str, program: Program) -> None:
        self._text = text.strip()
        self._program = program
        try:
            tree = ast.parse(self._text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ConfigurationError(f"{self._text!r} is not a condition; one is {HELP}") from None
        self._value = self._read(tree, 0)

    def __call__(self, session: Any) -> bool:
        """Return whether it holds at the session's current position."""
        try:
            return bool(self._value(session))
        except _NotMapped:
            return False

    def __str__(self) -> str:
        return self._text

    def _read(self, node: ast.expr, depth: int) -> _Value:
        if depth > _DEEPEST:
            raise ConfigurationError(f"{self._text[:40]!r}... is nested too deeply for a condition")

        def inner(one: ast.expr) -> _Value:
            return self._read(one, depth + 1)

        match node:
            case ast.Constant(value=int() as number) if not isinstance(number, bool) and 0 <= number <= _MASK:
                return lambda _session: number
            case ast.Name(id=name):
                return self._named(name)
            case ast.BoolOp(op=op, values=values):
                parts, joined = [inner(one) for one in values], all if isinstance(op, ast.And) else any
                return lambda session: joined(part(session) for part in parts)
            case ast.UnaryOp(op=sign, operand=operand):
                only, change = inner(operand), _UNARY[type(sign)]
                return lambda session: change(only(session)) & _MASK
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
                first, second, join = inner(left), inner(right), _BINARY[type(sign)]
                return lambda session: join(first(session), second(session)) & _MASK
            case ast.Compare(left=left, ops=signs, comparators=others) if _known(signs):
                return _compared([inner(left), *map(inner, others)], [_COMPARISONS[type(one)] for one in signs])
            case ast.Call(func=ast.Name(id=name), args=[address], keywords=[]) if name in _SIZES:
                place, size = inner(address), _SIZES[name]
                return lambda session: _memory(session.machine, place(session), size)
        raise ConfigurationError(f"{ast.unparse(node)[:40]!r} is not allowed in a condition; an example is {HELP}")

    def _named(self, name: str) -> _Value:
        lower = name.lower()
        if lower in GENERAL_REGISTERS or lower in _OTHERS:
            return lambda session: _register(session, lower)
        if name not in self._program.symbols:
            raise ConfigurationError(f"{name!r} is neither a register nor a symbol of the kernel")
        address = self._program.symbols[name]
        return lambda _session: address


def _known(signs: list[ast.cmpop]) -> bool:
    return all(type(one) in _COMPARISONS for one in signs)


def _compared(values: list[_Value], signs: list[Callable[[int, int], bool]]) -> _Value:
    def holds(session: Any) -> int:
        known = [value(session) for value in values]
        return all(sign(*pair) for sign, pair in zip(signs, pairwise(known), strict=True))

    return holds


def _register(session: Any, name: str) -> int:
    cpu = session.machine.cpu
    if name == "now":
        return int(session.now.at_ns)
    if name == "rflags":
        return int(cpu.rflags)
    if name.startswith("cr"):
        return int(cpu.read_register(name.upper()))
    return int(getattr(cpu.registers, name))


def _memory(machine: Machine, address: int, size: int) -> int:
    data = b""
    while len(data) < size:
        found = machine.cpu.memory.look(address)
        offset = address % PAGE_SIZE
        count = min(size - len(data), PAGE_SIZE - offset)
        if found is None or found.physical + PAGE_SIZE > machine.ram.size:
            raise _NotMapped
        data += machine.ram.read(found.physical + offset, count)
        address = (address + count) & _MASK
    return int.from_bytes(data, "little")
