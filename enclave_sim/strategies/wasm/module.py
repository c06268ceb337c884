"""A WebAssembly module as data, before it becomes bytes or text (core specification, 2.5)."""

from dataclasses import dataclass

from enclave_sim.strategies.wasm.instructions import Instruction

FunctionType = tuple[tuple[str, ...], tuple[str, ...]]
"""Types of the parameters, types of the results."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the module's own. The END of its body is not listed."""

    type: int
    locals: tuple[str, ...]
    """Types of the locals behind the parameters."""
    body: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Global:
    """A mutable global and the constant that it starts with."""

    type: str
    init: Instruction


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """What a module consists of. Functions are numbered from the imports on; the last one is exported as `_start`."""

    types: tuple[FunctionType, ...]
    imports: tuple[tuple[str, int], ...]
    """Names in the namespace `aether`, and indices of types."""
    functions: tuple[Function, ...]
    table: tuple[int | None, ...] = ()
    """The elements of the table: functions, or None where it is not initialised. No table when empty."""
    memory_pages: int | None = None
    globals: tuple[Global, ...] = ()
    data: tuple[tuple[int, bytes], ...] = ()
    """Data segments: offset and bytes."""

    @property
    def start(self) -> int:
        """The function that is exported as `_start`."""
        return len(self.imports) + len(self.functions) - 1

    @property
    def elements(self) -> list[tuple[int, list[int]]]:
        """The element segments: the runs of the table that are initialised."""
        segments: list[tuple[int, list[int]]] = []
        for slot, function in enumerate(self.table):
            if function is None:
                continue
            if segments and segments[-1][0] + len(segments[-1][1]) == slot:
                segments[-1][1].append(function)
            else:
                segments.append((slot, [function]))
        return segments
