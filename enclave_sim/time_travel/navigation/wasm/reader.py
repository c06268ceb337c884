"""Reads the state of a resident guest from the machine: the interpreter's variables, stacks and tables.

The layouts are those of firmware/vmm/vmm.h. Where the interpreter has its variables says the debugging information of
the kernel's image. Its stacks are in regions of their own, and while a host call is under way `ask_host` has saved the
registers that matter on the guest stack.
"""

import struct
from bisect import bisect_left
from collections import Counter
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import firmware
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.kernel.variables import Location, variables_of
from enclave_sim.errors import ConfigurationError
from enclave_sim.memory_map import region
from enclave_sim.payload.wasm.disassembler import disassembly
from enclave_sim.payload.wasm.opcodes import TYPES
from enclave_sim.payload.wasm.places import bodies_of
from enclave_sim.payload.wasm.sections import decode_u32
from enclave_sim.specification import EngineName
from enclave_sim.time_travel.navigation.wasm.values import WasmFrame, WasmState, WasmValue
from enclave_sim.time_travel.timeline.timeline import Timeline

_INTERPRETER, _ASK_HOST, _HANDLERS = "interpret", "ask_host", "interpret.handlers"
_GUEST = struct.Struct("<5Q")
"""`struct guest`: module, memory, globals, values, calls."""
_MODULE = struct.Struct("<Q8I5Q")
"""`struct module` up to its pointers: bytes, length, counts, types, functions, branches, globals, segments."""
_ELEMENTS, _ELEMENTS_AT = struct.Struct("<QI"), 80
"""Elements and their number in `struct module`."""
_FUNCTION = struct.Struct("<IIIIIHH")
"""`struct function`: type, at, end, branches, locals, parameters, results."""
_TYPE = struct.Struct("<IIHH")
"""`struct type`: where the parameters and results are in the module, and their numbers."""
_GLOBAL = struct.Struct("<8xBx6x")
"""The type in `struct global`."""
_CALL = struct.Struct("<4Q")
"""`struct call`: ip, branch, locals, function."""
_INTERRUPT_FRAME = struct.Struct("<5Q")
"""RIP, CS, RFLAGS, RSP, SS, as the processor pushes them."""
_SAVED = struct.Struct("<7Q")
"""The registers that `ask_host` has pushed, and its return address."""
_SAVED_NAMES = ("r15", "r14", "r13", "r12", "rbp", "rbx", "rip")
_VARIABLES = ("ip", "sp", "top", "locals", "function", "calls")
_CELL = 8
_FRAMES = 20
"""Calls that are read."""
_CELLS = 1000
"""Operands or locals of a call that are read."""


class Registers(NamedTuple):
    """The registers of ring 3 that are known."""

    values: dict[str, int]
    waits: bool
    """True if the guest has made a host call."""


class Tables(NamedTuple):
    """Addresses of the interpreter's tables."""

    module: int
    """The address of the module's bytes."""
    length: int
    types: int
    functions: int
    global_count: int
    globals: int
    calls: int


class _Call(NamedTuple):
    """A call that has not returned: function index, offset in the module, and the address of its locals."""

    function: int
    offset: int
    locals: int


class GuestReader:
    """Reads the guest of a timeline. The run does not move.

    Args:
        timeline: The run of an enclave.

    Raises:
        ConfigurationError: No resident guest runs in it.
    """

    def __init__(self, timeline: Timeline[Any]) -> None:
        subject = timeline.subject
        if not isinstance(subject, Enclave) or subject.configuration.engine is not EngineName.RESIDENT:
            raise ConfigurationError("WebAssembly is executed by the machine itself only with the engine resident")
        self._machine = timeline.machine
        self._symbols = timeline.program.symbols
        self._variables = variables_of(subject.configuration.kernel.image, _INTERPRETER)
        self._last_module = b""

    @cached_property
    def handlers(self) -> tuple[int, ...]:
        """The address of the interpreter's code for each opcode; 0 for none."""
        table = self._symbols.get(_HANDLERS)
        if table is None or self._symbols.get(_INTERPRETER) is None:
            raise ConfigurationError("the kernel's image has no symbols of the interpreter")
        return struct.unpack("<256Q", self._machine.ram.read(table, 256 * 8))

    @cached_property
    def boundaries(self) -> frozenset[int]:
        """The addresses at which a WebAssembly instruction begins."""
        return frozenset(self.handlers) - {0, self.handlers[0xFF]}

    @cached_property
    def _entry(self) -> dict[str, Location | None]:
        """The places of the interpreter's variables at every boundary.

        Any handler may jump to any other, so a variable is at the same place at all of them. The lists have it for
        most. It is there during a host call, too, since the handler continues with such a jump.
        """
        found: dict[str, Location | None] = {}
        for name in _VARIABLES:
            places = [one for at in sorted(self.boundaries) if (one := self._variables.location(name, at)) is not None]
            found[name] = Counter(places).most_common(1)[0][0] if places else None
        return found

    def between(self) -> bool:
        """Return True if the next instruction of the machine begins one of WebAssembly.

        Handlers share code, so one may also reach the beginning of another.
        """
        registers = self._machine.cpu.registers
        if registers.cpl != 3 or registers.rip not in self.boundaries:
            return False
        module, offset = self.module(), self.next_offset()
        return offset in _starts(module) and self.handlers[module[offset]] == registers.rip

    def executes(self, rip: int) -> bool:
        """Return whether an instruction is one of the interpreter's loop."""
        return self._variables.location("calls", rip) is not None

    def next_offset(self) -> int:
        """Return the offset in the module of the instruction that begins here."""
        ip = self._variable("ip")
        assert ip is not None
        return ip - 1 - self._tables().module

    def instruction_pointer(self, offset: int) -> tuple[str, int]:
        """Return the register that has the interpreter's `ip`, and its value where an instruction begins."""
        place = self._entry["ip"]
        assert place is not None
        assert place.register is not None
        return place.register, self._tables().module + offset + 1

    def depth(self) -> int:
        """Return the number of active calls: `between` is True."""
        calls = self._variable("calls")
        assert calls is not None
        return (calls - self._tables().calls) // _CALL.size

    def module(self) -> bytes:
        """Return the module of the guest that is there: `between` is True."""
        return self._module(self._tables())

    def indirect_callee(self) -> int | None:
        """Return the function that the CALL_INDIRECT which begins here calls; None if it traps."""
        index = self._variable("top")
        elements, count = _ELEMENTS.unpack(self._read(self._record()[0] + _ELEMENTS_AT, _ELEMENTS.size))
        assert index is not None
        index &= 0xFFFF_FFFF
        if index >= count:
            return None
        return int.from_bytes(self._read(elements + 4 * index, 4), "little")

    def state(self) -> WasmState | None:
        """Return the state of the guest; None without one, or where its registers are not known, as in an interrupt."""
        found = self._registers()
        if found is None:
            return None
        waits = found.waits
        ip, sp, top, locals_, function, calls = (self._variable(name, found) for name in _VARIABLES)
        if ip is None or sp is None or locals_ is None or not function or calls is None:
            return None
        tables = self._tables()
        module = self._module(tables)
        depth = (calls - tables.calls) // _CALL.size
        index = (function - tables.functions) // _FUNCTION.size
        between = not waits and self.between()
        at = ip - tables.module
        offset = at - 1 if between else _before(module, index, at)
        frames = [self._frame(tables, module, _Call(index, offset, locals_), sp, top)]
        for number in range(depth - 1, max(0, depth - _FRAMES), -1):
            end = locals_
            ip, _branch, locals_, function = _CALL.unpack(self._read(tables.calls + number * _CALL.size, _CALL.size))
            index = (function - tables.functions) // _FUNCTION.size
            call = _Call(index, _before(module, index, ip - tables.module), locals_)
            frames.append(self._frame(tables, module, call, end, None))
        return WasmState(module, depth, tuple(frames), self._globals(tables), waits, between)

    def _frame(self, tables: Tables, module: bytes, call: _Call, end: int, top: int | None) -> WasmFrame:
        """Read a call. `end` is the first cell after its operands but the one in `top`."""
        record = _FUNCTION.unpack(self._read(tables.functions + call.function * _FUNCTION.size, _FUNCTION.size))
        count = record[4] + record[5]
        first = call.locals + count * _CELL
        parameters_at, _results_at, parameters, _results = _TYPE.unpack(
            self._read(tables.types + record[0] * _TYPE.size, _TYPE.size)
        )
        types = [TYPES[byte - 0x80] for byte in module[parameters_at : parameters_at + parameters]]
        types += _local_types(module, call.function, _CELLS)
        values = zip(types, self._cells(call.locals, min(count, _CELLS)), strict=False)
        height = max(0, (end - first) // _CELL - 1)  # without the cell of no meaning under them
        shown = min(height, _CELLS)
        operands = self._cells(end - shown * _CELL, shown)
        if top is not None and end > first:
            operands.append(top)
        own = tuple(WasmValue(kind, cell) for kind, cell in values)
        return WasmFrame(call.function, call.offset, own, tuple(WasmValue(None, cell) for cell in operands))

    def _globals(self, tables: Tables) -> tuple[WasmValue, ...]:
        count = min(tables.global_count, _CELLS)
        records = _GLOBAL.iter_unpack(self._read(tables.globals, count * _GLOBAL.size))
        cells = self._cells(region("globals").base, count)
        return tuple(WasmValue(TYPES[kind - 0x80], cell) for (kind,), cell in zip(records, cells, strict=True))

    def _cells(self, base: int, count: int) -> list[int]:
        return list(struct.unpack(f"<{count}Q", self._read(base, count * _CELL)))

    def _record(self) -> tuple[int, ...]:
        layout = firmware.layout()
        return _GUEST.unpack(self._read(layout["ARENA_BASE"] + layout["GUEST_RECORD"], _GUEST.size))

    def _tables(self) -> Tables:
        place = self._record()
        module = _MODULE.unpack(self._read(place[0], _MODULE.size))
        return Tables(module[0], module[1], module[9], module[10], module[5], module[12], place[4])

    def _module(self, tables: Tables) -> bytes:
        content = self._read(tables.module, tables.length)
        if content != self._last_module:
            self._last_module = content
        return self._last_module  # one object, whose tables are kept

    def _now(self) -> dict[str, int]:
        registers = self._machine.cpu.registers
        names = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)), "rip")
        return {name: getattr(registers, name) for name in names}

    def _registers(self) -> Registers | None:
        """Return the registers of the interpreter; None if it is not running, or they are not known."""
        now = self._now()
        if self._machine.cpu.registers.cpl == 3:
            return Registers(now, waits=False) if self.executes(now["rip"]) else None
        stack = region("call_stack")
        if not stack.base <= now["rsp"] < stack.end:
            return None
        frame = _INTERRUPT_FRAME.unpack(self._read(stack.end - _INTERRUPT_FRAME.size, _INTERRUPT_FRAME.size))
        begin = self._symbols.get(_ASK_HOST, 0)
        guest_stack = region("guest_stack")
        if not begin <= frame[0] < begin + 64 or not guest_stack.base <= frame[3] <= guest_stack.end - _SAVED.size:
            return None
        saved = dict(zip(_SAVED_NAMES, _SAVED.unpack(self._read(frame[3], _SAVED.size)), strict=True))
        return Registers(saved | {"rsp": frame[3] + _SAVED.size}, waits=True)

    def _variable(self, name: str, found: Registers | None = None) -> int | None:
        registers, waits = found or Registers(self._now(), waits=False)
        rip = registers["rip"]
        place = self._entry[name] if waits or rip in self.boundaries else self._variables.location(name, rip)
        if place is None:
            return None
        if place.register is None:
            return place.offset
        if place.register not in registers:
            return None
        value = registers[place.register] + place.offset
        return int.from_bytes(self._read(value, _CELL), "little") if place.in_memory else value

    def _read(self, address: int, size: int) -> bytes:
        """Read memory of the VMM, which is mapped one to one."""
        return self._machine.ram.read(address, size)


@lru_cache(maxsize=8)
def _starts(module: bytes) -> frozenset[int]:
    """Return the offsets at which an instruction begins."""
    return frozenset(one.offset for body in bodies_of(module).values() for one in disassembly(module, body))


def _before(module: bytes, function: int, offset: int) -> int:
    """Return the offset of the instruction that ends at an offset, or contains it."""
    starts = [one.offset for one in disassembly(module, bodies_of(module)[function])]
    return starts[max(0, bisect_left(starts, offset) - 1)]


@lru_cache(maxsize=64)
def _local_types(module: bytes, function: int, most: int) -> tuple[str, ...]:
    """Return the types of a function's first declared locals (5.5.13)."""
    found: list[str] = []
    groups, at = decode_u32(module, bodies_of(module)[function].start)
    for _ in range(groups):
        count, at = decode_u32(module, at)
        found += [TYPES[module[at] - 0x80]] * min(count, most - len(found))
        at += 1
    return tuple(found)
