"""Repeats the run of a guest, and notes of each value what it was made from.

A run depends only on the module and on the answers to its host calls, so it is the same run. Each instruction that
makes a value adds an item; a value on the operand stack, in a local, a global or a byte of linear memory is the number
of its item. Only `local.get`, `global.get` and `drop` add none.
"""

from collections.abc import Callable, Sequence

from enclave_sim.time_travel.navigation.provenance.answers import Role
from enclave_sim.time_travel.navigation.provenance.guest.arithmetic import (
    COMMON,
    TrapError,
    bits,
    compute,
    is_numeric,
    signature,
)
from enclave_sim.time_travel.navigation.provenance.guest.items import Item, Piece
from enclave_sim.time_travel.navigation.provenance.guest.linear_memory import LinearMemory
from enclave_sim.time_travel.navigation.provenance.guest.program import Operation, Program, UnsupportedError

MOST = 300_000
"""Instructions that are repeated at most."""
_MASK = 0xFFFF_FFFF


class TooLongError(Exception):
    """The guest has executed more instructions than are repeated."""


class Frame:
    """A call that has not returned."""

    def __init__(self, code: Sequence[Operation], locals_: list[tuple[int, int]], gives: int, height: int) -> None:
        self.code = code
        self.locals = locals_
        """Value and item of each local."""
        self.gives = gives
        self.height = height
        self.next = 0
        self.labels: list[tuple[int, int, int, bool]] = []
        """Of each open block: the index to branch to, the values that a branch takes, the height, True for a loop."""


class Replay:
    """The run of one guest, as far as it was repeated.

    Args:
        program: The module.
        memory_bytes: The size of its linear memory.
    """

    def __init__(self, program: Program, memory_bytes: int) -> None:
        self._program = program
        self.memory = LinearMemory(memory_bytes)
        self.items: list[Item] = []
        self.arguments: list[int | None] = []
        """The item of the argument of each host call so far; None for a call without one."""
        self.over = False
        self.stay = 0
        """The number of host calls that have been answered."""
        self._executed = 0
        self._stack: list[tuple[int, int]] = []
        self._globals = [
            (value, self._add(offset, f"a global that begins as {value:#x}", value, bits(kind) // 8))
            for kind, value, offset in program.globals
        ]
        self._frames: list[Frame] = []
        self._waiting = False
        self._dropped: set[int] = set()
        self._operations = self._table()
        for number, segment in enumerate(program.segments):
            if segment.active:
                self._initialise(number, segment.offset, 0, len(segment.content))
                self._dropped.add(number)
        self._enter(program.entry)

    def run(self, answers: Sequence[int], calls: int | None) -> None:
        """Continue to a host call, or to the end.

        Args:
            answers: The results of the host calls, in order.
            calls: The number of host calls to make; None to run to the end.

        Raises:
            TooLongError: The guest computes for too long.
            UnsupportedError: It executes an instruction that is not repeated here.
        """
        try:
            while not self.over and len(self.arguments) != calls:
                if self._waiting:
                    if self.stay >= len(answers):
                        return
                    self._answer(answers[self.stay])
                self._step()
        except TrapError:
            self.over = True

    @property
    def live(self) -> set[int]:
        """The items on the operand stack, in locals and in globals."""
        values = [*self._stack, *self._globals, *(one for frame in self._frames for one in frame.locals)]
        return {item for _, item in values}

    # Items

    def _add(
        self, offset: int, text: str, value: int, size: int, sources: Sequence[tuple[Role, Piece]] = (), *,
        spread: bool = True, answer: int | None = None, data: int | None = None, address: int | None = None,
        filled: int = 1,
    ) -> int:  # fmt: skip
        made = Item(offset, text, self.stay, value, size, tuple(sources), spread, answer, data, address, filled)
        self.items.append(made)
        return len(self.items) - 1

    def _piece(self, item: int) -> Piece:
        return Piece(item, 0, self.items[item].size)

    def _push(self, one: Operation, value: int, size: int, *taken: int, copy: bool = False) -> None:
        sources = [(Role.DATA, self._piece(item)) for item in taken]
        self._stack.append((value, self._add(one.offset, one.text, value, size, sources, spread=not copy)))

    # Control

    def _enter(self, function: int) -> None:
        found = self._program.functions[function]
        count = len(found.type.parameters)
        arguments = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        start = found.code[0].offset if found.code else 0
        locals_ = [
            *arguments,
            *((0, self._add(start, "a local that begins as 0", 0, bits(k) // 8)) for k in found.locals),
        ]
        self._frames.append(Frame(found.code, locals_, len(found.type.results), len(self._stack)))

    def _leave(self) -> None:
        frame = self._frames.pop()
        self._keep(frame.gives, frame.height)
        self.over = not self._frames

    def _keep(self, count: int, height: int) -> None:
        """Drop what is on the stack between a height and the last `count` values."""
        kept = self._stack[len(self._stack) - count :]
        del self._stack[height:]
        self._stack += kept

    def _branch(self, depth: int) -> None:
        frame = self._frames[-1]
        if depth >= len(frame.labels):
            self._leave()
            return
        target, count, height, loops = frame.labels[-1 - depth]
        self._keep(count, height)
        del frame.labels[len(frame.labels) - 1 - depth + loops :]
        frame.next = target

    def _call(self, function: int) -> None:
        if function >= len(self._program.imports):
            self._enter(function)
            return
        kind = self._program.types[self._program.kinds[function]]
        self.arguments.append(self._stack.pop()[1] if kind.parameters else None)
        self._waiting = True
        self._answers_with = bool(kind.results), self._program.imports[function]

    def _answer(self, result: int) -> None:
        self._waiting = False
        gives, name = self._answers_with
        number = self.stay
        self.stay += 1
        if gives:
            frame = self._frames[-1]
            offset = frame.code[frame.next - 1].offset
            value = result & _MASK
            self._stack.append((value, self._add(offset, f"the answer to {name}", value, 4, answer=number)))

    def _step(self) -> None:
        self._executed += 1
        if self._executed > MOST:
            raise TooLongError
        frame = self._frames[-1]
        one = frame.code[frame.next]
        frame.next += 1
        name = one.name
        action = self._operations.get(name)
        if action is not None:
            action(one)
        elif name in COMMON or is_numeric(name):
            self._numeric(one)
        elif one.size and ".load" in name:
            self._load(one)
        elif one.size and ".store" in name:
            self._store(one)
        else:
            raise UnsupportedError(name)

    # Instructions

    def _table(self) -> dict[str, Callable[[Operation], None]]:
        return {
            "nop": lambda _one: None,
            "unreachable": self._trap,
            "block": self._block,
            "loop": self._loop,
            "if": self._if,
            "else": self._else,
            "end": self._end,
            "br": lambda one: self._branch(one.numbers[0]),
            "br_if": lambda one: self._branch(one.numbers[0]) if self._stack.pop()[0] else None,
            "br_table": self._br_table,
            "return": lambda _one: self._leave(),
            "call": lambda one: self._call(one.numbers[0]),
            "call_indirect": self._call_indirect,
            "drop": lambda _one: self._stack.pop() and None,
            "select": self._select,
            "local.get": lambda one: self._stack.append(self._frames[-1].locals[one.numbers[0]]),
            "local.set": self._local_set,
            "local.tee": self._local_tee,
            "global.get": lambda one: self._stack.append(self._globals[one.numbers[0]]),
            "global.set": self._global_set,
            "memory.size": lambda one: self._push(one, self.memory.pages, 4),
            "memory.grow": self._grow,
            "memory.copy": self._copy,
            "memory.fill": self._fill,
            "memory.init": self._init,
            "data.drop": lambda one: self._dropped.add(one.numbers[0]),
            **{f"{kind}.const": self._constant for kind in ("i32", "i64", "f32", "f64")},
        }

    def _trap(self, one: Operation) -> None:
        raise TrapError(one.name)

    def _block(self, one: Operation) -> None:
        frame = self._frames[-1]
        frame.labels.append((one.end + 1, one.gives, len(self._stack) - one.takes, False))

    def _loop(self, one: Operation) -> None:
        frame = self._frames[-1]
        frame.labels.append((frame.next, one.takes, len(self._stack) - one.takes, True))

    def _if(self, one: Operation) -> None:
        frame = self._frames[-1]
        condition = self._stack.pop()[0]
        self._block(one)
        if not condition:
            frame.next = one.otherwise if one.otherwise == one.end else one.otherwise + 1

    def _else(self, one: Operation) -> None:
        self._frames[-1].next = one.otherwise

    def _end(self, _one: Operation) -> None:
        frame = self._frames[-1]
        if frame.labels:
            frame.labels.pop()
        else:
            self._leave()

    def _br_table(self, one: Operation) -> None:
        index = self._stack.pop()[0]
        labels = one.numbers
        self._branch(labels[min(index, len(labels) - 1)])

    def _call_indirect(self, one: Operation) -> None:
        index = self._stack.pop()[0]
        function = self._program.table.get(index)
        program = self._program
        if function is None or program.types[program.kinds[function]] != program.types[one.numbers[0]]:
            raise TrapError(one.name)
        self._call(function)

    def _select(self, one: Operation) -> None:
        (condition, chooser), (second, b), (first, a) = self._stack.pop(), self._stack.pop(), self._stack.pop()
        value, item = (first, a) if condition else (second, b)
        sources = [(Role.DATA, self._piece(item)), (Role.FLAGS, self._piece(chooser))]
        size = self.items[item].size
        self._stack.append((value, self._add(one.offset, one.text, value, size, sources, spread=False)))

    def _local_set(self, one: Operation) -> None:
        value, item = self._stack.pop()
        copied = self._add(
            one.offset, one.text, value, self.items[item].size, [(Role.DATA, self._piece(item))], spread=False
        )
        self._frames[-1].locals[one.numbers[0]] = value, copied

    def _local_tee(self, one: Operation) -> None:
        self._local_set(one)
        self._stack.append(self._frames[-1].locals[one.numbers[0]])

    def _global_set(self, one: Operation) -> None:
        value, item = self._stack.pop()
        copied = self._add(
            one.offset, one.text, value, self.items[item].size, [(Role.DATA, self._piece(item))], spread=False
        )
        self._globals[one.numbers[0]] = value, copied

    def _constant(self, one: Operation) -> None:
        width = bits(one.name[:3])
        self._push(one, one.numbers[0] & (1 << width) - 1, width // 8)

    def _numeric(self, one: Operation) -> None:
        types, result = signature(one.name)
        taken = [self._stack.pop() for _ in types][::-1]
        value = compute(one.name, *(value for value, _ in taken))
        self._push(one, value, bits(result) // 8, *(item for _, item in taken))

    def _grow(self, one: Operation) -> None:
        pages, item = self._stack.pop()
        # The memory is fixed at its size, by which it can only grow by nothing.
        self._push(one, _MASK if pages else self.memory.pages, 4, item)

    # Memory

    def _load(self, one: Operation) -> None:
        base, item = self._stack.pop()
        address = base + one.numbers[0]
        size = bits(one.name[:3]) // 8
        value = int.from_bytes(self.memory.read(address, one.size), "little")
        if one.name.endswith("_s") and value >> 8 * one.size - 1:
            value += (1 << 8 * size) - (1 << 8 * one.size)
        sources = [(Role.DATA, piece) for piece in self.memory.pieces(address, one.size)]
        sources.append((Role.ADDRESS, self._piece(item)))
        copied = one.size == size
        self._stack.append((value, self._add(one.offset, one.text, value, size, sources, spread=not copied)))

    def _store(self, one: Operation) -> None:
        (value, item), (base, where) = self._stack.pop(), self._stack.pop()
        address = base + one.numbers[0]
        self.memory.check(address, one.size)
        content = value & (1 << 8 * one.size) - 1
        sources = (Role.DATA, Piece(item, 0, one.size)), (Role.ADDRESS, self._piece(where))
        made = self._add(one.offset, one.text, content, one.size, sources, spread=False, address=address)
        self.memory.put(address, content.to_bytes(one.size, "little"), made)

    def _three(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        length, middle, first = self._stack.pop(), self._stack.pop(), self._stack.pop()
        return first, middle, length

    def _copy(self, one: Operation) -> None:
        (to, where), (source, read), (length, count) = self._three()
        self.memory.check(to, length)
        content = self.memory.read(source, length)
        if not length:
            return
        sources = [(Role.DATA, piece) for piece in self.memory.pieces(source, length)]
        sources += [(Role.ADDRESS, self._piece(item)) for item in (where, read, count)]
        value = int.from_bytes(content, "little")
        made = self._add(one.offset, one.text, value, length, sources, spread=False, address=to)
        self.memory.put(to, content, made)

    def _fill(self, one: Operation) -> None:
        (to, where), (value, item), (length, count) = self._three()
        self.memory.check(to, length)
        sources = [(Role.DATA, Piece(item, 0, 1)), *((Role.ADDRESS, self._piece(n)) for n in (where, count))]
        made = self._add(one.offset, one.text, value & 0xFF, 1, sources, spread=False, address=to, filled=length)
        self.memory.fill(to, length, value & 0xFF, made)

    def _init(self, one: Operation) -> None:
        (to, _), (first, _), (length, _) = self._three()
        number = one.numbers[0]
        known = 0 if number in self._dropped else len(self._program.segments[number].content)
        if first + length > known:
            raise TrapError(one.name)
        self.memory.check(to, length)
        if length:
            self._initialise(number, to, first, length)

    def _initialise(self, number: int, to: int, first: int, length: int) -> None:
        segment = self._program.segments[number]
        content = segment.content[first : first + length]
        self.memory.check(to, length)
        at = segment.at + first
        text = f"data segment {number}"
        made = self._add(at, text, int.from_bytes(content, "little"), length, spread=False, data=at, address=to)
        self.memory.put(to, content, made)
