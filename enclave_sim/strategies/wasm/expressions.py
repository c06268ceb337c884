"""Typed generation of expressions: each leaves one value of a given type on the stack.

One decision picks a production from a table of 256 for the type; low decisions pick the simple ones. Operands that
could trap (an address, a divisor, a float that fits no integer, an element of the table) are guarded. If traps are
allowed, the guard is sometimes left out.
"""

from collections.abc import Callable, Sequence

from enclave_sim.enclave.engine.profile import PAGE_BYTES, TABLE_LIMIT
from enclave_sim.strategies.wasm.builder import MAX_COST, Callee, FunctionBuilder
from enclave_sim.strategies.wasm.constants import constant, constant_expression
from enclave_sim.strategies.wasm.instructions import (
    ACCESSES,
    F32,
    F64,
    I32,
    I64,
    LOADS,
    OPERATORS,
    VALUE_TYPES,
    SourceInstruction,
)
from enclave_sim.strategies.wasm.module import FunctionType

DEPTH = 3
"""The maximum nesting depth of an expression's operands."""
DECISIONS = 256
_UNGUARDED = 232
"""Decisions from here on leave out a guard, if traps are allowed."""
_ZERO_DIVISOR = 64
"""Decisions from here on make an unguarded divisor zero, because few expressions are zero by chance."""
_MISTAKEN = 192
"""Like `_UNGUARDED`, for rarer productions: divisions, and calls through the table, which have three ways to trap."""
_LINKED = 192
"""Decisions from here on make a call through the table one of a linked module."""
_GROWTH_COST = 128
"""MEMORY.GROW takes one unit of fuel per requested page, up to this many, even if it fails."""
_Production = tuple[Callable[[FunctionBuilder, str, str, int], None], str]
"""A function that writes an expression of a type, and its detail, such as the operator."""

_PLAIN = {name: SourceInstruction(name) for name in (*OPERATORS, "drop", "else", "end", "select", "memory.size")}
END, DROP = _PLAIN["end"], _PLAIN["drop"]
_BR_IF_OUT = SourceInstruction("br_if", (0,))
_PARAMETERS: tuple[tuple[str, ...], ...] = ((), (I32,), (I32, I32), (I64, F64), (F32,), (I64,), (F64, I32, F32))
_TRUNCATIONS = frozenset(name for name in OPERATORS if ".trunc_f" in name)
_DIVISIONS = frozenset(f"{kind}.{name}" for kind in (I32, I64) for name in ("div_s", "div_u", "rem_s", "rem_u"))
_LARGEST = {I32: (1 << 31) - 1, I64: (1 << 63) - 1}


def expression(body: FunctionBuilder, type_: str, depth: int = DEPTH) -> None:
    """Write an expression of that type, with operands nested up to `depth` deep."""
    choice = body.draw()
    if depth == 0:
        choice %= _LEAVES
    production, detail = _TABLES[type_][choice]
    production(body, type_, detail, depth - 1)


def i32_const(value: int) -> SourceInstruction:
    """Return I32.CONST."""
    return SourceInstruction("i32.const", (value,))


def unguarded(body: FunctionBuilder, least: int = _UNGUARDED) -> bool:
    """Return True to leave out a guard: if traps are allowed and the next decision is at least `least`."""
    return body.module.options.traps and body.draw() >= least


def masked(body: FunctionBuilder, mask: int, depth: int) -> None:
    """Write an i32 in which only the bits of `mask` can be set."""
    expression(body, I32, depth)
    body.out += (i32_const(mask), _PLAIN["i32.and"])


def address(body: FunctionBuilder, name: str, depth: int) -> SourceInstruction:
    """Write the address of an access. Return the load or store of that name, with its alignment and offset."""
    size = body.module.pages() * PAGE_BYTES
    choice = body.draw()
    natural = ACCESSES[name].alignment
    alignment = natural - choice % (natural + 1)
    if choice >= _UNGUARDED and body.module.options.traps:
        if choice % 2:
            expression(body, I32, depth)
            offset = body.draw() << 24
        else:
            body.out.append(i32_const(size - 16))
            offset = body.draw() % 32
    elif choice < 64:
        body.out.append(i32_const(choice))
        offset = 0
    else:
        half = 1 << (size.bit_length() - 2)
        masked(body, half - 1, depth)
        offset = choice << 4
    return SourceInstruction(name, (alignment, offset))


def _constant(body: FunctionBuilder, type_: str, _detail: str, _depth: int) -> None:
    body.out.append(constant(body.draw, type_))


def _local(body: FunctionBuilder, type_: str, _detail: str, _depth: int) -> None:
    body.out.append(SourceInstruction("local.get", (body.variable(type_, body.draw()),)))


def _global(body: FunctionBuilder, type_: str, _detail: str, _depth: int) -> None:
    index = body.module.global_(type_, body.draw(), lambda: constant_expression(body.draw, type_))
    body.out.append(SourceInstruction("global.get", (index,)))


def _tee(body: FunctionBuilder, type_: str, _detail: str, depth: int) -> None:
    expression(body, type_, depth)
    body.out.append(SourceInstruction("local.tee", (body.variable(type_, body.draw()),)))


def _operator(body: FunctionBuilder, _type: str, name: str, depth: int) -> None:
    for operand in OPERATORS[name].operands:
        expression(body, operand, depth)
    body.out.append(_PLAIN[name])


def _division(body: FunctionBuilder, type_: str, name: str, depth: int) -> None:
    expression(body, type_, depth)
    if unguarded(body, _MISTAKEN):
        if body.draw() >= _ZERO_DIVISOR:
            body.out.append(SourceInstruction(f"{type_}.const", (0,)))
        else:
            expression(body, type_, depth)
    else:
        expression(body, type_, depth)
        if name.endswith("div_s"):  # the smallest integer divided by -1 overflows
            body.out += (SourceInstruction(f"{type_}.const", (_LARGEST[type_],)), _PLAIN[f"{type_}.and"])
        body.out += (SourceInstruction(f"{type_}.const", (1,)), _PLAIN[f"{type_}.or"])
    body.out.append(_PLAIN[name])


def _truncation(body: FunctionBuilder, _type: str, name: str, depth: int) -> None:
    (source,) = OPERATORS[name].operands
    if unguarded(body):
        expression(body, source, depth)
    else:
        masked(body, 0xFFFF, depth)
        body.out.append(_PLAIN[f"{source}.convert_i32_u"])
    body.out.append(_PLAIN[name])


def _load(body: FunctionBuilder, _type: str, name: str, depth: int) -> None:
    body.out.append(address(body, name, depth))


def _memory_size(body: FunctionBuilder, _type: str, _detail: str, _depth: int) -> None:
    body.module.pages()
    body.out.append(_PLAIN["memory.size"])


def _memory_grow(body: FunctionBuilder, _type: str, _detail: str, depth: int) -> None:
    body.module.pages()
    expression(body, I32, depth)
    body.out.append(SourceInstruction("memory.grow"))
    body.cost_of_calls += _GROWTH_COST


def _status(body: FunctionBuilder, type_: str, detail: str, depth: int) -> None:
    if body.module.options.host_calls:
        body.out.append(body.module.imported("get_status"))
    else:
        _constant(body, type_, detail, depth)


def _select(body: FunctionBuilder, type_: str, _detail: str, depth: int) -> None:
    expression(body, type_, depth)
    expression(body, type_, depth)
    expression(body, I32, depth)
    body.out.append(_PLAIN["select"])


def _if(body: FunctionBuilder, type_: str, _detail: str, depth: int) -> None:
    expression(body, I32, depth)
    body.labels.append(False)
    body.out.append(SourceInstruction("if", (body.module.block_type((type_,)),)))
    expression(body, type_, depth)
    body.out.append(_PLAIN["else"])
    expression(body, type_, depth)
    body.out.append(END)
    body.labels.pop()


def _block(body: FunctionBuilder, type_: str, _detail: str, depth: int) -> None:
    """Write a block that BR_IF leaves with one value, and its end with another."""
    body.labels.append(False)
    body.out.append(SourceInstruction("block", (body.module.block_type((type_,)),)))
    expression(body, type_, depth)
    expression(body, I32, depth)
    body.out += (_BR_IF_OUT, DROP)
    expression(body, type_, depth)
    body.out.append(END)
    body.labels.pop()


def _call(body: FunctionBuilder, type_: str, _detail: str, depth: int) -> None:
    choice = body.draw()
    kind = (_PARAMETERS[(choice >> 1) % len(_PARAMETERS)], (type_,))
    if not call(body, kind, choice, depth):
        _constant(body, type_, "", depth)


def call(body: FunctionBuilder, kind: FunctionType, choice: int, depth: int) -> bool:
    """Write a call of a function with certain results.

    Args:
        body: The function to write to.
        kind: The type of a new function; an existing one need only have the same results.
        choice: A decision: if even, call an existing function if possible.
        depth: The maximum nesting depth of the arguments.

    Returns:
        False if no function can be called; nothing is written then.
    """
    callee = _callee(body, kind, choice)
    if callee is not None:
        arguments(body, callee.kind[0], depth)
        body.out.append(SourceInstruction("call", (callee.index,)))
        body.cost_of_calls += callee.cost
    return callee is not None


def _callee(body: FunctionBuilder, kind: FunctionType, choice: int) -> Callee | None:
    module = body.module
    known = [c for c in module.callees if c.kind[1] == kind[1] and body.cost + c.cost <= MAX_COST]
    if known and (choice % 2 == 0 or not module.may_grow()):
        return known[(choice >> 1) % len(known)]
    if not module.may_grow():
        return None
    callee = module.add_function(kind)
    return callee if body.cost + callee.cost <= MAX_COST else None


def arguments(body: FunctionBuilder, types: Sequence[str], depth: int) -> None:
    """Write one expression for each of the types."""
    for type_ in types:
        expression(body, type_, max(depth, 0))


def _call_indirect(body: FunctionBuilder, type_: str, _detail: str, depth: int) -> None:
    choice = body.draw()
    kind = (_PARAMETERS[(choice >> 1) % len(_PARAMETERS)], (type_,))
    if not call_indirect(body, kind, choice, depth):
        _constant(body, type_, "", depth)


def call_indirect(body: FunctionBuilder, kind: FunctionType, choice: int, depth: int) -> bool:
    """Write a call through the table, to one of two elements made for it.

    If traps are allowed, the elements may be uninitialised, out of bounds, or of another type.

    Args:
        body: The function to write to.
        kind: As for `call`.
        choice: As for `call`.
        depth: The maximum nesting depth of the arguments.

    Returns:
        False if no function can be called; nothing is written then.
    """
    callee = _callee(body, kind, choice)
    if callee is None:
        return False
    same = [c for c in body.module.callees if c.kind == callee.kind and body.cost + c.cost <= MAX_COST]
    other = same[choice % len(same)]
    arguments(body, callee.kind[0], depth)
    table, called = body.module.table, callee.kind
    first = len(table)
    table += (callee.index, other.index)
    if unguarded(body, _MISTAKEN):
        mistake = body.draw() % 3
        if mistake == 0:
            table += (None, None)
            first += 2
        elif mistake == 1:
            first = TABLE_LIMIT
        else:
            called = (*callee.kind[0], I64), callee.kind[1]
            expression(body, I64, max(depth, 0))
    masked(body, 1, max(depth, 0))
    type_index = body.module.type_index(called)
    body.module.linked |= choice >= _LINKED
    body.out += (i32_const(first), _PLAIN["i32.add"], SourceInstruction("call_indirect", (type_index,)))
    body.cost_of_calls += max(callee.cost, other.cost)
    return True


_LEAVES = 20
_SIMPLE: list[_Production] = [(_constant, ""), (_local, ""), (_constant, ""), (_local, ""), (_global, "")] * 4
_FORMS = [_load, _call, _select, _tee, _if, _block, _call_indirect]
_I32_FORMS = [_status, _memory_size, _memory_grow]


def _productions(type_: str) -> tuple[_Production, ...]:
    """Return the table of a type: leaves, operators, structured productions, repeated until it is full."""
    operators: list[_Production] = []
    for name, operator in OPERATORS.items():
        if operator.result == type_:
            handler = _division if name in _DIVISIONS else _truncation if name in _TRUNCATIONS else _operator
            operators.append((handler, name))
    loads = [name for name, access in LOADS.items() if access.type == type_]
    forms: list[_Production] = [(_load, name) for name in loads]
    forms += [(form, "") for form in _FORMS[1:] + (_I32_FORMS if type_ == I32 else [])]
    rest = operators + forms
    weighted = _SIMPLE + rest + _SIMPLE + forms * 2
    return tuple((weighted * DECISIONS)[:DECISIONS])


_TABLES = {type_: _productions(type_) for type_ in VALUE_TYPES}
