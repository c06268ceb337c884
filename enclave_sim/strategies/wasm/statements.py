"""Typed generation of statements, functions and modules. A statement leaves the stack as it was."""

from collections.abc import Callable, Iterable

from enclave_sim.strategies.choice_bytes import tape
from enclave_sim.strategies.wasm.builder import MAX_COST, Builder, FunctionBuilder, Options
from enclave_sim.strategies.wasm.bulk_memory import bulk_memory
from enclave_sim.strategies.wasm.constants import constant_expression
from enclave_sim.strategies.wasm.expressions import (
    DECISIONS,
    DEPTH,
    DROP,
    END,
    address,
    arguments,
    call,
    call_indirect,
    expression,
    i32_const,
)
from enclave_sim.strategies.wasm.instructions import EMPTY, F32, F64, I32, I64, STORES, VALUE_TYPES, SourceInstruction
from enclave_sim.strategies.wasm.module import FunctionType, ModuleSource

_Statement = Callable[[FunctionBuilder], None]
_NESTED = 3
"""The maximum number of statements in a block or a called function."""
_STOP = 192
"""Decisions from here on end a list of statements, as 0 does."""
_DEEPEST = 4
"""The maximum number of blocks around a statement."""
_ROUNDS = 8
_KINDS: tuple[FunctionType, ...] = (
    ((), ()),
    ((I32,), ()),
    ((), (I32, I64)),
    ((I32, I64), (F32,)),
    ((F64,), (F64, I32)),
    ((F32, I32), (I64,)),
)
_BLOCKS: tuple[FunctionType, ...] = (((), (I32, I64)), ((I32,), (F32,)), ((I32, F64), (F64, I32)), ((F32,), ()))
_NOP, _ELSE, _UNREACHABLE = SourceInstruction("nop"), SourceInstruction("else"), SourceInstruction("unreachable")
_STORES = tuple(STORES)


def statements(body: FunctionBuilder, most: int) -> None:
    """Write at most `most` statements, until a decision ends the list."""
    for _ in range(most):
        choice = body.draw()
        if choice == 0 or choice >= _STOP:
            return
        _TABLE[choice](body)


def _nested(body: FunctionBuilder, *, free: bool) -> None:
    """Write the statements of a block. `free`: BR may leave it."""
    body.labels.append(free)
    statements(body, _NESTED)
    body.labels.pop()


def _consume(body: FunctionBuilder, types: tuple[str, ...]) -> None:
    """Pop values, into locals or by DROP."""
    for type_ in reversed(types):
        choice = body.draw()
        body.out.append(SourceInstruction("local.set", (body.variable(type_, choice >> 1),)) if choice & 1 else DROP)


def _emit(body: FunctionBuilder) -> None:
    expression(body, I32)
    body.out.append(body.module.imported("emit_signal") if body.module.options.host_calls else DROP)


def _drop(body: FunctionBuilder) -> None:
    expression(body, VALUE_TYPES[body.draw() % 4])
    body.out.append(DROP)


def _set_local(body: FunctionBuilder) -> None:
    choice = body.draw()
    type_ = VALUE_TYPES[choice % 4]
    expression(body, type_)
    body.out.append(SourceInstruction("local.set", (body.variable(type_, choice >> 2),)))


def _set_global(body: FunctionBuilder) -> None:
    choice = body.draw()
    type_ = VALUE_TYPES[choice % 4]
    expression(body, type_)
    index = body.module.global_(type_, choice >> 2, lambda: constant_expression(body.draw, type_))
    body.out.append(SourceInstruction("global.set", (index,)))


def _store(body: FunctionBuilder) -> None:
    name = _STORES[body.draw() % len(_STORES)]
    access = address(body, name, DEPTH)
    expression(body, STORES[name].type)
    body.out.append(access)


def _nop(body: FunctionBuilder) -> None:
    body.out.append(_NOP)


def _if(body: FunctionBuilder) -> None:
    expression(body, I32)
    body.out.append(SourceInstruction("if", (EMPTY,)))
    _nested(body, free=True)
    if body.draw() & 1:
        body.out.append(_ELSE)
        _nested(body, free=True)
    body.out.append(END)


def _block(body: FunctionBuilder) -> None:
    body.out.append(SourceInstruction("block", (EMPTY,)))
    _nested(body, free=True)
    body.out.append(END)


def _loop(body: FunctionBuilder) -> None:
    """Write a loop with a counter, with as many iterations as `MAX_COST` allows."""
    rounds, counter = 1 + body.draw() % _ROUNDS, body.counter()
    at = len(body.out)
    body.out += (i32_const(rounds), SourceInstruction("local.set", (counter,)), SourceInstruction("loop", (EMPTY,)))
    before = body.cost
    _nested(body, free=False)
    body.out += (
        SourceInstruction("local.get", (counter,)),
        i32_const(1),
        SourceInstruction("i32.sub"),
        SourceInstruction("local.tee", (counter,)),
        SourceInstruction("br_if", (0,)),
        END,
    )
    round_ = body.cost - before
    rounds = min(rounds, 1 + max(0, MAX_COST - body.cost) // round_)
    body.out[at] = i32_const(rounds)
    body.cost_of_calls += (rounds - 1) * round_


def _branch_table(body: FunctionBuilder) -> None:
    """Write a switch: BR_TABLE chooses how many of the cases are skipped."""
    cases = 1 + body.draw() % 3
    body.out += [SourceInstruction("block", (EMPTY,))] * cases
    body.labels += [True] * cases
    expression(body, I32)
    body.out.append(SourceInstruction("br_table", (*range(cases), body.draw() % cases)))
    for _ in range(cases):
        body.out.append(END)
        body.labels.pop()
        statements(body, 1)


def _leave(body: FunctionBuilder) -> None:
    """Write BR_IF, BR or RETURN. The code after BR is dead, but valid."""
    choice = body.draw()
    labels = body.forward_labels()
    if not labels or choice % 4 == 3:
        expression(body, I32)
        body.out.append(SourceInstruction("if", (EMPTY,)))
        arguments(body, body.kind[1], 1)
        body.out += (SourceInstruction("return"), END)
        return
    target = (labels[(choice >> 2) % len(labels)],)
    if choice % 4 < 2:
        expression(body, I32)
        body.out.append(SourceInstruction("br_if", target))
    else:
        body.out.append(SourceInstruction("br", target))


def _call(body: FunctionBuilder) -> None:
    choice = body.draw()
    if choice >= 252 and body.module.options.traps and body.module.may_grow():
        callee = body.module.add_endless_recursion()
        body.out += (i32_const(0), SourceInstruction("call", (callee.index,)))
        body.cost_of_calls += callee.cost
        return
    kind = _KINDS[(choice >> 1) % len(_KINDS)]
    if call(body, kind, choice, DEPTH - 1):
        _consume(body, kind[1])


def _call_indirect(body: FunctionBuilder) -> None:
    choice = body.draw()
    kind = _KINDS[(choice >> 1) % len(_KINDS)]
    if call_indirect(body, kind, choice, DEPTH - 1):
        _consume(body, kind[1])


def _values(body: FunctionBuilder) -> None:
    """Write a block with several parameters and results."""
    kind = _BLOCKS[body.draw() % len(_BLOCKS)]
    arguments(body, kind[0], 1)
    body.out.append(SourceInstruction("block", (body.module.type_index(kind),)))
    body.labels.append(False)
    _consume(body, kind[0])
    arguments(body, kind[1], 1)
    body.labels.pop()
    body.out.append(END)
    _consume(body, kind[1])


def _shred(body: FunctionBuilder) -> None:
    if body.module.options.host_calls:
        body.out.append(body.module.imported("shred_self"))
    else:
        body.out.append(_NOP)


def _unreachable(body: FunctionBuilder) -> None:
    """Write UNREACHABLE. It is skipped unless traps are allowed and a decision executes it."""
    if body.module.options.traps and body.draw() & 1:
        body.out.append(_UNREACHABLE)
    else:
        body.out += (SourceInstruction("block", (EMPTY,)), SourceInstruction("br", (0,)), _UNREACHABLE, END)


_WEIGHTS: tuple[tuple[_Statement, int], ...] = (
    (_emit, 6),
    (_set_local, 6),
    (_store, 6),
    (_set_global, 3),
    (_drop, 3),
    (bulk_memory, 4),
    (_leave, 5),
    (_if, 6),
    (_block, 3),
    (_loop, 7),
    (_call, 6),
    (_call_indirect, 5),
    (_branch_table, 3),
    (_values, 3),
    (_nop, 1),
)
_STRUCTURED = frozenset((_if, _block, _loop, _branch_table))


def _shallow(statement: _Statement) -> _Statement:
    """Return the statement, replaced with a plain one if blocks are already nested too deeply."""
    return lambda body: statement(body) if len(body.labels) < _DEEPEST else _emit(body)


def _table() -> tuple[_Statement, ...]:
    """Return one statement per decision. The rare ones are in the middle."""
    row = [_shallow(s) if s in _STRUCTURED else s for s, weight in _WEIGHTS for _ in range(weight)]
    table = [_nop, *(row * DECISIONS)[: DECISIONS - 1]]
    table[100], table[150] = _shred, _unreachable
    return tuple(table)


_TABLE = _table()


def _function(body: FunctionBuilder) -> None:
    """Write the body of a called function."""
    statements(body, _NESTED)
    arguments(body, body.kind[1], DEPTH)


def build(tapes: Iterable[bytes], options: Options) -> Builder:
    """Build a module in which each decision tape is one statement of `_start`, which is empty without tapes."""
    module = Builder(tape(b""), options, _function)
    start = FunctionBuilder(module, ((), ()))
    for decisions in tapes:
        start.draw = module.draw = tape(decisions)
        _TABLE[start.draw()](start)
    module.add_start(start)
    return module


def generate(tapes: Iterable[bytes], options: Options) -> ModuleSource:
    """Return the finished module of `build`."""
    return build(tapes, options).finish()
