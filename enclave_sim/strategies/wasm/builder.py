"""A module and its functions while they are being generated. What is first used is declared then, and nothing else.

How long a guest runs is known: `Body.cost` is the most instructions that one call of the function executes, those
of its callees included. Loops get as many rounds, and calls are made, as `MAX_COST` allows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from enclave_sim.enclave.engine.profile import CONTRACT, PAGE_BYTES
from enclave_sim.strategies.choice_bytes import Draw
from enclave_sim.strategies.wasm.instructions import EMPTY, I32, TYPE_CODES, Instruction
from enclave_sim.strategies.wasm.module import Function, FunctionType, Global, ModuleSource

MAX_COST = 50_000
"""Most instructions that a function executes, callees included, but for those of straight-line code behind it."""
_MOST_FUNCTIONS, _MOST_NESTED_CALLS, _MOST_GLOBALS, _MOST_LOCALS = 8, 3, 8, 12
_IMPORT_AT = 1 << 16
"""Imports are numbered from here until all are known."""
_LOCAL_GET = tuple(Instruction("local.get", (i,)) for i in range(256))
SIGNATURE_OF = {
    item: (tuple(map(str, parameters)), tuple(map(str, results)))
    for item, (_, (parameters, results)) in CONTRACT.items()
}


@dataclass(frozen=True, slots=True)
class Options:
    """What guests may do."""

    traps: bool
    memory_pages: int
    """Most pages of the memory."""
    host_calls: bool


@dataclass(frozen=True, slots=True)
class Callee:
    """A function that is complete, and so cannot call those that call it."""

    index: int
    kind: FunctionType
    cost: int


class Body:
    """A function under construction."""

    __slots__ = ("cost_of_calls", "draw", "kind", "labels", "locals", "module", "out", "variables")

    def __init__(self, module: "Builder", kind: FunctionType) -> None:
        self.module = module
        self.draw = module.draw
        self.kind = kind
        self.out: list[Instruction] = []
        self.labels: list[bool] = []
        """Of the blocks around, the innermost last: whether BR may leave it without a value."""
        self.locals: list[str] = list(kind[0])
        """Types of parameters and locals."""
        self.variables: dict[str, list[int]] = {}
        """Parameters and locals by type. Counters of loops are none of them."""
        for index, type_ in enumerate(kind[0]):
            self.variables.setdefault(type_, []).append(index)
        self.cost_of_calls = 0

    @property
    def cost(self) -> int:
        """Most instructions that what is there so far executes."""
        return len(self.out) + self.cost_of_calls

    def counter(self) -> int:
        """A new local that nothing else uses."""
        self.locals.append(I32)
        return len(self.locals) - 1

    def variable(self, type_: str, choice: int) -> int:
        """A local of that type: one there is, or a new one."""
        known = self.variables.setdefault(type_, [])
        if not known or (choice % 4 == 3 and len(known) < _MOST_LOCALS):
            self.locals.append(type_)
            known.append(len(self.locals) - 1)
            return known[-1]
        return known[(choice >> 2) % len(known)]

    def forward_labels(self) -> list[int]:
        """Depths of the labels that BR may leave for, the innermost first."""
        return [depth for depth, free in enumerate(reversed(self.labels)) if free]


class Builder:
    """A module under construction. `write` gives a function that has been begun its body."""

    def __init__(self, draw: Draw, options: Options, write: Callable[[Body], None]) -> None:
        self.draw = draw
        self.options = options
        self._write = write
        self._types: dict[FunctionType, int] = {}
        self._imports: list[str] = []
        self._functions: list[Function] = []
        self._nesting = 0
        self.callees: list[Callee] = []
        self.table: list[int | None] = []
        self.globals: list[Global] = []
        self.data: list[tuple[int, bytes]] = []
        self._pages: int | None = None

    def type_index(self, kind: FunctionType) -> int:
        """The index of a function type."""
        return self._types.setdefault(kind, len(self._types))

    def block_type(self, results: tuple[str, ...]) -> int:
        """The block type with these results."""
        if len(results) > 1:
            return self.type_index(((), results))
        return TYPE_CODES[results[0]] - 128 if results else EMPTY

    def imported(self, item: str) -> Instruction:
        """The call of a host function."""
        if item not in self._imports:
            self._imports.append(item)
        return Instruction("call", (_IMPORT_AT + self._imports.index(item),))

    def global_(self, type_: str, choice: int, init: Callable[[], Instruction]) -> int:
        """A global of that type: one there is, or a new one that starts with `init()`."""
        known = [index for index, variable in enumerate(self.globals) if variable.type == type_]
        if known and (choice % 4 != 3 or len(self.globals) >= _MOST_GLOBALS):
            return known[(choice >> 2) % len(known)]
        self.globals.append(Global(type_, init()))
        return len(self.globals) - 1

    def pages(self) -> int:
        """The number of pages of the memory, which the module has from now on, and its data segments with it."""
        if self._pages is None:
            self._pages = 1 + self.draw() % self.options.memory_pages
            for _ in range(self.draw() % 3):
                place, length = self.draw(), self.draw() % 9
                beyond = self.options.traps and place == 255
                offset = self._pages * PAGE_BYTES - 1 if beyond else place * 0x100
                self.data.append((offset, self._bytes(length)))
        return self._pages

    def _bytes(self, length: int) -> bytes:
        first = self.draw() if length else 0
        return bytes((first + 37 * i) & 0xFF for i in range(length))

    def may_grow(self) -> bool:
        """Whether a function may be added."""
        return len(self._functions) + self._nesting < _MOST_FUNCTIONS and self._nesting <= _MOST_NESTED_CALLS

    def add_function(self, kind: FunctionType) -> Callee:
        """Generate a function. It calls those only that were complete before it."""
        body = Body(self, kind)
        self._nesting += 1
        self._write(body)
        self._nesting -= 1
        return self._add(body, body.out, body.cost + 1)  # END

    def add_endless_recursion(self) -> Callee:
        """A function that calls itself until the stack overflows."""
        body = Body(self, ((I32,), ()))
        index = len(self._functions)
        step = [_LOCAL_GET[0], Instruction("i32.const", (1,)), Instruction("i32.add"), Instruction("call", (index,))]
        return self._add(body, step, MAX_COST)

    def add_start(self, body: Body) -> None:
        """Add the last function, which is exported."""
        self._add(body, body.out, body.cost + 1)

    def _add(self, body: Body, out: list[Instruction], cost: int) -> Callee:
        own = tuple(body.locals[len(body.kind[0]) :])
        callee = Callee(len(self._functions), body.kind, cost)
        self._functions.append(Function(self.type_index(body.kind), own, tuple(out)))
        self.callees.append(callee)
        return callee

    def finish(self) -> ModuleSource:
        """The module. Functions get their final numbers: behind the imports."""
        imports = tuple((item, self.type_index(SIGNATURE_OF[item])) for item in self._imports)
        shift = len(imports)

        def renumbered(instruction: Instruction) -> Instruction:
            if instruction.name != "call":
                return instruction
            index = instruction.immediates[0]
            return Instruction("call", (index - _IMPORT_AT if index >= _IMPORT_AT else index + shift,))

        return ModuleSource(
            types=tuple(self._types),
            imports=imports,
            functions=tuple(Function(f.type, f.locals, tuple(map(renumbered, f.body))) for f in self._functions),
            table=tuple(None if index is None else index + shift for index in self.table),
            memory_pages=self._pages,
            globals=tuple(self.globals),
            data=tuple(self.data),
        )
