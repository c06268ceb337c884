"""The effects of the instruction at RIP, with its operands resolved in the state before it."""

from collections.abc import Iterator

from enclave_sim.time_travel.navigation.provenance.answers import End, Ending, Role
from enclave_sim.time_travel.navigation.provenance.decoding import ACCESSING_MSRS, Address, Decoded, Operand
from enclave_sim.time_travel.navigation.provenance.effects import Bytes, Effect, Input, Spread, cut, length
from enclave_sim.time_travel.navigation.provenance.places import FLAGS, MEMORY, MMX, REGISTERS, X87_BYTES, Place
from enclave_sim.time_travel.navigation.provenance.roles import BY_BIT, CLEARING, POPPED, PUSHED, ROLES, STACK, Term
from enclave_sim.time_travel.navigation.provenance.roles import Effect as Row
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.bus.ram import PAGE_SIZE
from machine.instructions.floating_point.state import X87State
from machine.machine import Machine

ZERO = Ending(End.CONSTANT, "0")
_OUTSIDE = {
    "'return address'": End.RETURN_ADDRESS,
    "'cpuid'": End.PROCESSOR,
    "'time'": End.PROCESSOR,
    "'msr'": End.PROCESSOR,
    "'descriptor'": End.PROCESSOR,
    "'system register'": End.PROCESSOR,
    "'port'": End.DEVICE,
    "'x87'": End.CONSTANT,
}
_SERIAL_DATA = "port 0x3f8"
"""The receiver buffer of the serial line, whose bytes come from outside."""
_ROLES = {"?": Role.FLAGS, "@": Role.ADDRESS, "&": Role.DATA, "": Role.DATA}
_SPREADS = {"~": Spread.EACH, **{spread.value: spread for spread in Spread}}
_STACK = Address("rsp", None, 1, 0, "ss", 64)
_CARRY, _PARITY, _ZERO, _SIGN, _OVERFLOW = 1, 4, 0x40, 0x80, 0x800
_FLAG_BYTES = REGISTERS[FLAGS]


class UnresolvedError(Exception):
    """An operand's address is not mapped, or a word has no meaning here: the instruction is treated as not modelled."""


class InstructionEffects:
    """Resolves the effects of instructions on one machine, which must stand before them."""

    def __init__(self, machine: Machine) -> None:
        self._cpu = machine.cpu

    def of(self, found: Decoded) -> list[Effect]:
        """Return the effects of an instruction. Raises UnresolvedError."""
        registers = self._cpu.registers
        mask = 2**64 - 1 if found.long else 2**32 - 1
        if found.repeats and not registers.rcx & mask:
            return []
        if found.returns_from_interrupt:
            return list(self._interrupt_return(found))
        made: list[Effect] = []
        for row in self._rows(found):
            made += self._effects(found, row)
        if found.repeats:
            count = found.register("rcx")
            made.append(Effect((count,), (Input((count,), spread=Spread.UP_TO),)))
        return made

    def _rows(self, found: Decoded) -> tuple[Row, ...]:
        if found.moves_conditionally:
            return ROLES["/moved"] if _holds(found.name[4:], self._cpu.rflags) else ROLES["/kept"]
        if found.name == "cmpxchg":
            compared = Operand(found.operands[0].size, found.accumulator("A"))
            equal = self._number(found, found.operands[0]) == self._number(found, compared)
            return ROLES["/exchanged"] if equal else ROLES["/compared"]
        if found.name in ("bsf", "bsr") and self._number(found, found.operands[1]):
            return ROLES["/scanned"]
        assert found.effects is not None
        if found.name in ACCESSING_MSRS:
            return ROLES.get(f"{found.name}/{self._register('rcx') & 0xFFFF_FFFF:#x}", found.effects)
        loaded = found.loaded_base
        return (*found.effects, *ROLES[f"/{loaded}"]) if loaded else found.effects

    # One row

    def _effects(self, found: Decoded, row: Row) -> Iterator[Effect]:
        target, addresses = self._pieces(found, row.target)
        cleared = self._cleared(found, row)
        if cleared is not None:
            inputs: list[Input] = [cleared]
        else:
            inputs = [one for term in row.sources for one in self._inputs(found, term)]
        inputs += addresses
        size = length(target)
        parts = self._masked(found, row, target, inputs) if cleared is None else None
        yield from parts or self._extended(row, target, inputs, size)
        register = target[0] if len(target) == 1 else None
        general = register is not None and register.space in GENERAL_REGISTERS
        if found.long and register is not None and general and (register.start, register.size) == (0, 4):
            yield Effect((Place(register.space, 4, 4),), (Input(ZERO),))
        if register is not None and register.space in MMX and register.size < X87_BYTES:
            yield Effect((Place(register.space, 8, 2),), (Input(Ending(End.CONSTANT, "0xffff")),))

    def _extended(self, row: Row, target: Bytes, inputs: list[Input], size: int) -> Iterator[Effect]:
        """Yield the effect, with missing bytes of a moved source as zeros or copies of its sign."""
        first = row.sources[0] if row.sources else None
        moved = inputs[0].what if inputs else ()
        if first is None or first.mark not in (".", "~") or isinstance(moved, Ending) or len(row.sources) > 1:
            yield Effect(target, tuple(inputs))
            return
        have = length(moved)
        yield Effect(cut(target, 0, have), (Input(cut(moved, 0, size), inputs[0].role, Spread.EACH), *inputs[1:]))
        if have < size:
            sign = Input(cut(moved, have - 1, have), inputs[0].role, Spread.BITS)
            yield Effect(cut(target, have, size), (sign if first.mark == "~" else Input(ZERO), *inputs[1:]))

    def _masked(self, found: Decoded, row: Row, target: Bytes, inputs: list[Input]) -> list[Effect] | None:
        """Return the effects of AND and OR with a number, byte by byte; None for another instruction."""
        number = found.operands[1].number if found.name in BY_BIT and len(found.operands) == 2 else None
        if number is None or row.target.what != "0":
            return None
        size = length(target)
        constant, neutral = (0, 0xFF) if found.name == "and" else (0xFF, 0)
        made = []
        for index, byte in enumerate((number & (1 << 8 * size) - 1).to_bytes(size, "little")):
            here = Ending(End.CONSTANT, f"{byte:#x}")
            given = Input(here)
            kept = Input(cut(target, index, index + 1), spread=Spread.EACH)
            chosen = (given,) if byte == constant else (kept,) if byte == neutral else (kept, given)
            others = [one for one in inputs if one.role is Role.ADDRESS]
            made.append(Effect(cut(target, index, index + 1), (*chosen, *others)))
        return made

    def _cleared(self, found: Decoded, row: Row) -> Input | None:
        """Return the constant that an operation gives of two equal operands, or None."""
        operands = found.operands
        same = len(operands) == 2 and operands[0].register is not None and operands[0] == operands[1]
        if not same or row.target.what not in ("0", "F"):
            return None
        if found.name == "sbb":
            return Input((_FLAG_BYTES,))
        if found.name.startswith("pcmpeq"):
            return Input(Ending(End.CONSTANT, "all ones"))
        return Input(ZERO) if found.name in CLEARING else None

    def _inputs(self, found: Decoded, term: Term) -> list[Input]:
        role, spread = _ROLES[term.role], _SPREADS[term.mark]
        if term.what.startswith("'"):
            if term.what == "'table'":
                place = Address("rbx", None, 1, self._register("rax") & 0xFF, "ds", 64)
                where = self._memory(found, place, 1)
                return [Input(where), *self._address(found, place), Input((REGISTERS["al"],), Role.ADDRESS)]
            text = self._outside(found, term.what)
            kind = End.INPUT if text == _SERIAL_DATA else _OUTSIDE[term.what]
            return [Input(Ending(kind, text), role)]
        if term.role == "&":
            address = found.operands[int(term.what)].memory
            if address is None:
                raise UnresolvedError
            parts = [one for one in (address.base, address.index) if one is not None]
            copied = len(parts) == 1 and address.scale == 1 and not address.displacement
            spread = Spread.EACH if copied else Spread.UP_TO
            named = [Input((found.register(one),), Role.DATA, spread) for one in parts]
            constant = Input(Ending(End.CONSTANT, f"{address.displacement:#x}"))
            return [*named, constant] if address.displacement or not named else named
        operand = found.operands[int(term.what)] if term.what.isdigit() else None
        if operand is not None and operand.number is not None:
            number = operand.number & (1 << 8 * operand.size) - 1
            return [Input(Ending(End.CONSTANT, f"{number:#x}"), role)]
        pieces, addresses = self._pieces(found, term)
        return [Input(pieces, role, spread), *addresses]

    def _outside(self, found: Decoded, what: str) -> str:
        if what == "'return address'":
            return f"{self._cpu.linear_rip + found.length:#x}"
        if what == "'port'":
            port = found.operands[-1].number if found.name == "in" else None
            return f"port {self._register('rdx') & 0xFFFF if port is None else port:#x}"
        if what == "'cpuid'":
            return f"CPUID {self._register('rax') & 0xFFFF_FFFF:#x}"
        if what == "'msr'":
            return f"MSR {self._register('rcx') & 0xFFFF_FFFF:#x}" if found.name == "rdmsr" else "TSC_AUX"
        return {"'time'": "the time stamp counter", "'descriptor'": "the descriptor"}.get(what, found.name)

    # Operands

    def _pieces(self, found: Decoded, term: Term) -> tuple[Bytes, list[Input]]:
        """Return the bytes that a term names, and the sources of their address."""
        pieces, addresses = self._whole(found, term)
        return (pieces if term.part is None else cut(pieces, *term.part)), addresses

    def _whole(self, found: Decoded, term: Term) -> tuple[Bytes, list[Input]]:
        if term.what.isdigit():
            return self._operand(found, found.operands[int(term.what)], term)
        if term.what in PUSHED or term.what in POPPED:
            words = POPPED[term.what] if term.what in POPPED else -PUSHED[term.what]
            size = found.stack_bytes
            return self._memory(found, _STACK, size, words * size), self._address(found, _STACK)
        if term.what == "frame":
            frame = Address("rbp", None, 1, 0, "ss", 64)
            return self._memory(found, frame, found.stack_bytes), self._address(found, frame)
        if term.what in STACK:
            return (self._on_stack(STACK[term.what]),), []
        if term.what in ("A", "D"):
            return (found.accumulator(term.what),), []
        return (_FLAG_BYTES if term.what == "F" else found.register(term.what),), []

    def _operand(self, found: Decoded, operand: Operand, term: Term) -> tuple[Bytes, list[Input]]:
        if operand.register is not None:
            return (operand.register,), []
        if operand.stack is not None:
            return (self._on_stack(operand.stack),), []
        if operand.memory is None:
            raise UnresolvedError
        size = operand.size if term.part is None else max(operand.size, term.part[1])
        if term.part is not None and term.part[0] and operand.size <= term.part[1] - term.part[0]:
            raise UnresolvedError
        above = found.name == "pop" and operand.memory.base == "rsp"  # POP has changed RSP before it uses it
        pieces = self._memory(found, operand.memory, size, found.stack_bytes if above else 0)
        return pieces, self._address(found, operand.memory)

    def operand(self, found: Decoded, operand: Operand) -> Bytes:
        """Return the bytes of an operand in memory. Raises UnresolvedError."""
        if operand.memory is None:
            raise UnresolvedError
        return self._memory(found, operand.memory, operand.size)

    def _on_stack(self, number: int) -> Place:
        """Return an x87 register by its number relative to the top of their stack."""
        top = X87State(self._cpu.context.x87_state).top
        return Place(MMX[top + number & 7], 0, X87_BYTES)

    def _address(self, found: Decoded, address: Address) -> list[Input]:
        parts = [one for one in (address.base, address.index) if one is not None]
        return [Input((found.register(one),), Role.ADDRESS) for one in parts]

    def _memory(self, found: Decoded, address: Address, size: int, offset: int = 0) -> Bytes:
        """Return the physical bytes of an effective address, page by page."""
        bits = address.bits if found.long else 32
        effective = address.displacement + offset
        effective += self._register(address.base) if address.base else 0
        effective += self._register(address.index) * address.scale if address.index else 0
        effective &= (1 << bits) - 1
        if not found.long or address.segment in ("fs", "gs"):
            effective += getattr(self._cpu.registers, address.segment).base
        return self.physical(effective & (2**64 - 1 if found.long else 2**32 - 1), size)

    def physical(self, linear: int, size: int) -> Bytes:
        """Return the physical bytes of a linear range, page by page. Raises UnresolvedError if it is not mapped."""
        pieces: list[Place] = []
        while size:
            part = min(size, PAGE_SIZE - linear % PAGE_SIZE)
            page = self._cpu.memory.look(linear & -PAGE_SIZE)
            if page is None:
                raise UnresolvedError
            pieces.append(Place(MEMORY, page.physical + linear % PAGE_SIZE, part))
            linear, size = linear + part, size - part
        return tuple(pieces)

    def _register(self, name: str) -> int:
        return int(getattr(self._cpu.registers, name))

    def _number(self, found: Decoded, operand: Operand) -> int:
        """Return the value of a general register, or of memory in RAM. Raises UnresolvedError."""
        if operand.register is not None:
            value = self._register(operand.register.space) >> 8 * operand.register.start
            return value & (1 << 8 * operand.register.size) - 1
        return self._word(self.operand(found, operand))

    def _interrupt_return(self, found: Decoded) -> Iterator[Effect]:
        registers, size = self._cpu.registers, found.stack_bytes
        words = [self._memory(found, _STACK, size, size * index) for index in range(5)]
        selector = self._word(words[1]) & 0xFFFF
        yield Effect(
            (REGISTERS["cs"],), (Input(cut(words[1], 0, 2), spread=Spread.EACH), *self._address(found, _STACK))
        )
        flags = Input(words[2], spread=Spread.EACH), *self._address(found, _STACK)
        yield Effect((Place(FLAGS, 0, min(size, 8)),), flags)
        if not found.long and selector & 3 == registers.cpl:
            yield Effect((found.register("rsp"),), (Input((found.register("rsp"),), spread=Spread.UP_TO),))
            return
        yield Effect(
            (REGISTERS["ss"],), (Input(cut(words[4], 0, 2), spread=Spread.EACH), *self._address(found, _STACK))
        )
        pointer = (Input(words[3], spread=Spread.EACH), *self._address(found, _STACK))
        yield Effect((Place("rsp", 0, min(size, 8)),), pointer)
        if size < 8:
            yield Effect((Place("rsp", size, 8 - size),), (Input(ZERO),))
        if selector & 3 != registers.cpl:
            for name in ("ds", "es", "fs", "gs"):
                if not getattr(registers, name).selector:
                    yield Effect((REGISTERS[name],), (Input(ZERO),))

    def _word(self, pieces: Bytes) -> int:
        ram = self._cpu.ram
        if any(one.end > ram.size for one in pieces):
            raise UnresolvedError
        return int.from_bytes(b"".join(ram.read(one.start, one.size) for one in pieces), "little")


def _holds(condition: str, flags: int) -> bool:
    """Report whether a condition of CMOVcc holds (SDM volume 1, appendix B)."""
    carry, zero, sign = bool(flags & _CARRY), bool(flags & _ZERO), bool(flags & _SIGN)
    overflow, parity = bool(flags & _OVERFLOW), bool(flags & _PARITY)
    less = sign != overflow
    table = {
        "o": overflow, "b": carry, "e": zero, "be": carry or zero,
        "s": sign, "p": parity, "l": less, "le": less or zero,
    }  # fmt: skip
    if condition in table:
        return table[condition]
    opposite = {"a": "be", "ae": "b", "g": "le", "ge": "l"}.get(condition, condition.removeprefix("n"))
    return not table[opposite]
