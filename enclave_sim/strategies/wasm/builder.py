"""A module and its functions under construction.

Everything is declared at its first use. The length of a run is bounded: `Body.cost` is the maximum number of
instructions that one call of the function executes, including its callees. `MAX_COST` limits loop iterations and calls.
"""

from collections.abc import Callable
from dataclasses import dataclass

from enclave_sim.enclave.engine.profile import CONTRACT, PAGE_BYTES
from enclave_sim.strategies.choice_bytes import Draw
from enclave_sim.strategies.wasm.instructions import EMPTY, I32, TYPE_CODES, SourceInstruction
from enclave_sim.strategies.wasm.module import Function, FunctionType, Global, ModuleSource

MAX_COST = 50_000
"""The maximum number of instructions of a function and its callees, except straight-line code added later."""
_MAX_FUNCTIONS, _MAX_NESTED_CALLS, _MAX_GLOBALS, _MAX_LOCALS = 8, 3, 8, 12
_IMPORT_AT = 1 << 16
"""Imports have provisional numbers from here on until all are known."""
_LOCAL_GET = tuple(SourceInstruction("local.get", (i,)) for i in range(256))
SIGNATURE_OF = {
    item: (tuple(map(str, parameters)), tuple(map(str, results)))
    for item, (_, (parameters, results)) in CONTRACT.items()
}


@dataclass(frozen=True, slots=True)
class Options:
    """Options of generated guests."""

    traps: bool
    """Allow operations that may trap."""
    memory_pages: int
    """The maximum number of memory pages."""
    host_calls: bool
    """Allow imports."""


@dataclass(frozen=True, slots=True)
class Callee:
    """A complete function. Calling it cannot recurse, because it cannot call functions made later."""

    index: int
    kind: FunctionType
    cost: int


class FunctionBuilder:
    """A function under construction."""

    __slots__ = ("cost_of_calls", "draw", "kind", "labels", "locals", "module", "out", "variables")

    def __init__(self, module: "Builder", kind: FunctionType) -> None:
        self.module = module
        self.draw = module.draw
        self.kind = kind
        self.out: list[SourceInstruction] = []
        self.labels: list[bool] = []
        """For each enclosing block, the innermost last: True if BR may leave it without a value."""
        self.locals: list[str] = list(kind[0])
        """The types of parameters and locals."""
        self.variables: dict[str, list[int]] = {}
        """The parameters and locals that expressions may use, by type, without loop counters."""
        for index, type_ in enumerate(kind[0]):
            self.variables.setdefault(type_, []).append(index)
        self.cost_of_calls = 0

    @property
    def cost(self) -> int:
        """The maximum number of instructions that the code so far executes."""
        return len(self.out) + self.cost_of_calls

    def counter(self) -> int:
        """Declare a local that nothing else uses, and return its index."""
        self.locals.append(I32)
        return len(self.locals) - 1

    def variable(self, type_: str, choice: int) -> int:
        """Return a local of that type: an existing or a new one."""
        known = self.variables.setdefault(type_, [])
        if not known or (choice % 4 == 3 and len(known) < _MAX_LOCALS):
            self.locals.append(type_)
            known.append(len(self.locals) - 1)
            return known[-1]
        return known[(choice >> 2) % len(known)]

    def forward_labels(self) -> list[int]:
        """Return the depths of the labels that BR may target, the innermost first."""
        return [depth for depth, free in enumerate(reversed(self.labels)) if free]


class Builder:
    """A module under construction. `write` generates the body of a function."""

    def __init__(self, draw: Draw, options: Options, write: Callable[[FunctionBuilder], None]) -> None:
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
        self.linked = False
        self._pages: int | None = None

    def type_index(self, kind: FunctionType) -> int:
        """Return the index of a function type, declaring it if new."""
        return self._types.setdefault(kind, len(self._types))

    def block_type(self, results: tuple[str, ...]) -> int:
        """Return the block type with these results."""
        if len(results) > 1:
            return self.type_index(((), results))
        return TYPE_CODES[results[0]] - 128 if results else EMPTY

    def imported(self, item: str) -> SourceInstruction:
        """Return the call of a host function, importing it if new."""
        if item not in self._imports:
            self._imports.append(item)
        return SourceInstruction("call", (_IMPORT_AT + self._imports.index(item),))

    def global_(self, type_: str, choice: int, init: Callable[[], tuple[SourceInstruction, ...]]) -> int:
        """Return a global of that type: an existing one, or a new one initialized by `init()`."""
        known = [index for index, variable in enumerate(self.globals) if variable.type == type_]
        if known and (choice % 4 != 3 or len(self.globals) >= _MAX_GLOBALS):
            return known[(choice >> 2) % len(known)]
        self.globals.append(Global(type_, init(), exported=bool(self.draw() & 1)))
        return len(self.globals) - 1

    def pages(self) -> int:
        """Return the number of pages of the memory. The first call adds the memory and its data segments."""
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
        """Return whether a function may be added."""
        return len(self._functions) + self._nesting < _MAX_FUNCTIONS and self._nesting <= _MAX_NESTED_CALLS

    def add_function(self, kind: FunctionType) -> Callee:
        """Generate a function. It calls only functions that were completed before it."""
        body = FunctionBuilder(self, kind)
        self._nesting += 1
        self._write(body)
        self._nesting -= 1
        return self._add(body, body.out, body.cost + 1)  # END

    def add_endless_recursion(self) -> Callee:
        """Add a function that calls itself until the stack overflows."""
        body = FunctionBuilder(self, ((I32,), ()))
        index = len(self._functions)
        step = [
            _LOCAL_GET[0],
            SourceInstruction("i32.const", (1,)),
            SourceInstruction("i32.add"),
            SourceInstruction("call", (index,)),
        ]
        return self._add(body, step, MAX_COST)

    def add_start(self, body: FunctionBuilder) -> None:
        """Add the last function, which is exported."""
        self._add(body, body.out, body.cost + 1)

    def _add(self, body: FunctionBuilder, out: list[SourceInstruction], cost: int) -> Callee:
        own = tuple(body.locals[len(body.kind[0]) :])
        callee = Callee(len(self._functions), body.kind, cost)
        self._functions.append(Function(self.type_index(body.kind), own, tuple(out)))
        self.callees.append(callee)
        return callee

    def finish(self) -> ModuleSource:
        """Return the module. Functions get their final numbers, after the imports."""
        imports = tuple((item, self.type_index(SIGNATURE_OF[item])) for item in self._imports)
        shift = len(imports)

        def renumbered(instruction: SourceInstruction) -> SourceInstruction:
            if instruction.name != "call":
                return instruction
            index = instruction.immediates[0]
            return SourceInstruction("call", (index - _IMPORT_AT if index >= _IMPORT_AT else index + shift,))

        return ModuleSource(
            types=tuple(self._types),
            imports=imports,
            functions=tuple(Function(f.type, f.locals, tuple(map(renumbered, f.body))) for f in self._functions),
            table=tuple(None if index is None else index + shift for index in self.table),
            memory_pages=self._pages,
            globals=tuple(self.globals),
            data=tuple(self.data),
            linked=self.linked,
        )
