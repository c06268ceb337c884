"""A WebAssembly module as data, from which bytes or text are generated (core specification, 2.5)."""

from dataclasses import dataclass

from enclave_sim.strategies.wasm.instructions import SourceInstruction

FunctionType = tuple[tuple[str, ...], tuple[str, ...]]
"""The types of parameters and results."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function defined in the module. The final END of its body is not listed."""

    type: int
    locals: tuple[str, ...]
    """The types of the locals, without the parameters."""
    body: tuple[SourceInstruction, ...]


@dataclass(frozen=True, slots=True)
class Global:
    """A mutable global."""

    type: str
    init: tuple[SourceInstruction, ...]
    """Its initial constant expression, without END."""
    exported: bool = False


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """The contents of a module. Function numbers begin with the imports; the last function is exported as `_start`."""

    types: tuple[FunctionType, ...]
    imports: tuple[tuple[str, int], ...]
    """Each import: its name in the namespace `aether`, and the index of its type."""
    functions: tuple[Function, ...]
    table: tuple[int | None, ...] = ()
    """The elements of the table: functions, or None if not initialised. If empty, there is no table."""
    memory_pages: int | None = None
    globals: tuple[Global, ...] = ()
    data: tuple[tuple[int, bytes], ...] = ()
    """Data segments: offset and bytes."""
    linked: bool = False
    """Encode the operands of calls in five bytes each, like linkers, which patch them."""

    @property
    def start(self) -> int:
        """The number of the function exported as `_start`."""
        return len(self.imports) + len(self.functions) - 1

    @property
    def elements(self) -> list[tuple[int, list[int]]]:
        """The element segments: the initialised runs of the table."""
        segments: list[tuple[int, list[int]]] = []
        for slot, function in enumerate(self.table):
            if function is None:
                continue
            if segments and segments[-1][0] + len(segments[-1][1]) == slot:
                segments[-1][1].append(function)
            else:
                segments.append((slot, [function]))
        return segments
