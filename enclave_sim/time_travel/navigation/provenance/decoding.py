"""Instructions as provenance needs them: operands as places, and the row of roles.py that applies."""

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

from enclave_sim.time_travel.navigation.provenance.places import BASES, MMX, REGISTERS, VECTORS, X87_BYTES, Place
from enclave_sim.time_travel.navigation.provenance.roles import POPPED, PUSHED, ROLES, STACK, Effect, Term
from machine.architecture.processor_state import GENERAL_REGISTERS

_REGISTER, _IMMEDIATE, _MEMORY = 1, 2, 3
"""Kinds of capstone's operands."""
_PREFIXES = frozenset("lock rep repe repz repne repnz bnd notrack xacquire xrelease data16".split())
_REPEATS = frozenset("rep repe repz repne repnz".split())
_CONDITIONAL_MOVE = "cmov"
_RETURNS_FROM_INTERRUPT = frozenset(["iret", "iretd", "iretq"])
ACCESSING_MSRS = frozenset(["rdmsr", "wrmsr"])
_WORDS = frozenset("fnstsw fnstcw fldcw fnstenv fldenv".split())
"""x87 instructions that access no register of the stack."""
_X87 = tuple(Place(name, 0, X87_BYTES) for name in MMX)


@dataclass(frozen=True, slots=True)
class Address:
    """An effective address in parts: registers of full width, or None."""

    base: str | None
    index: str | None
    scale: int
    displacement: int
    """With the address of the next instruction, if it is relative to that."""
    segment: str
    bits: int


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand: a register, a number, or memory. All are None for a register that is not a place."""

    size: int
    register: Place | None = None
    number: int | None = None
    memory: Address | None = None
    stack: int | None = None
    """The number of an x87 register, relative to the top of their stack."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An instruction."""

    name: str
    """The mnemonic without prefixes."""
    text: str
    """In assembly language."""
    length: int
    effects: tuple[Effect, ...] | None
    """Its row; None if it is not modelled."""
    operands: tuple[Operand, ...]
    long: bool
    """Executed in 64-bit mode."""
    repeats: bool
    stack_bytes: int
    """The number of bytes that it pushes or pops, if it is one of these."""
    reads: tuple[Place, ...]
    """The registers that it may read, of an instruction that is not modelled."""
    writes: tuple[Place, ...]
    """The registers that it may write."""

    @property
    def moves_conditionally(self) -> bool:
        """True for CMOVcc."""
        return self.name.startswith(_CONDITIONAL_MOVE)

    @property
    def returns_from_interrupt(self) -> bool:
        """True for IRET, IRETD and IRETQ."""
        return self.name in _RETURNS_FROM_INTERRUPT

    @property
    def loaded_base(self) -> str | None:
        """`fs` or `gs` if the instruction loads that register, and its base with it."""
        first = self.operands[0].register if self.operands and self.name in ("mov", "pop") else None
        return first.space if first is not None and first.space in ("fs", "gs") else None

    def register(self, word: str) -> Place:
        """Return a register of the table: outside 64-bit mode the lower half of `rsp`."""
        place = REGISTERS[word]
        return place if self.long or word not in GENERAL_REGISTERS else Place(word, 0, 4)

    def accumulator(self, word: str) -> Place:
        """Return the register for `A` or `D`, by the size of the first operand."""
        size = self.operands[0].size
        if size == 1:
            return Place("rax", int(word == "D"), 1)
        return Place("rax" if word == "A" else "rdx", 0, size)


@lru_cache(maxsize=8192)  # the distinct instructions of a small program
def decoded(code: bytes, address: int, long: bool) -> Decoded | None:
    """Decode the instruction at the beginning of `code`, which is at a linear address; None if it is unknown."""
    found = next(_decoder(long).disasm(code, address, 1), None)
    return None if found is None else _made(found, long)


@cache
def _decoder(long: bool) -> Any:
    from capstone import CS_ARCH_X86, CS_MODE_32, CS_MODE_64, Cs  # noqa: PLC0415 - only provenance needs it

    decoder = Cs(CS_ARCH_X86, CS_MODE_64 if long else CS_MODE_32)
    decoder.detail = True
    return decoder


def _made(found: Any, long: bool) -> Decoded:
    words = found.mnemonic.split()
    name, prefixes = words[-1], words[:-1]
    operands = tuple(_operand(found, one) for one in found.operands)
    effects = _row(name, operands)
    narrow = 0x66 in found.prefix
    stack_bytes = 2 if narrow else 8 if long else 4
    if name in ("push", "pop") and operands and operands[0].register is not None and operands[0].register.size == 4:
        stack_bytes = 4
    if name == "call" or (name.endswith(("d", "q")) and name.startswith(("pushf", "popf"))):
        stack_bytes = 8 if long else 4
    if name in _RETURNS_FROM_INTERRUPT:
        stack_bytes = {"iret": 2, "iretd": 4, "iretq": 8}[name]
        effects = ()
    reads, writes = (_places(found, ids) for ids in found.regs_access())
    if effects is None:
        more = _touched(name)
        reads, writes = (*reads, *more), (*writes, *more)
    made = Decoded(
        name,
        f"{found.mnemonic} {found.op_str}".strip(),
        found.size,
        effects,
        operands,
        long,
        bool(_REPEATS.intersection(prefixes)),
        stack_bytes,
        reads,
        writes,
    )
    return made if effects is None else _with_writes(made, effects)


def _row(name: str, operands: tuple[Operand, ...]) -> tuple[Effect, ...] | None:
    in_memory = [one.memory is not None for one in operands]
    forms = [f"{name}/{len(operands)}"]
    if operands and operands[0].size == X87_BYTES:
        forms.insert(0, f"{name}/x")
    if in_memory[:2] == [True, True]:
        forms.insert(0, f"{name}/s")
    elif in_memory[1:2] == [True]:
        forms.insert(0, f"{name}/l")
    elif operands and not any(in_memory):
        forms.insert(0, f"{name}/r")
    if name.startswith(_CONDITIONAL_MOVE) or name == "cmpxchg":
        return ()
    if name == "enter" and operands[1].number:
        return None  # it copies frame pointers of outer procedures, too
    row = next((ROLES[form] for form in (*forms, name) if form in ROLES), None)
    strange = any(one == Operand(one.size) for one in operands)
    return None if row and strange else row


def _with_writes(made: Decoded, effects: tuple[Effect, ...]) -> Decoded:
    """Return the instruction with the registers that its row writes."""
    found: dict[Place, None] = {}
    for effect in effects:
        if on_stack(made, effect.target):
            found |= dict.fromkeys(_X87)
            continue
        place = _target(made, effect.target)
        if place is not None:
            found[place] = None
    if (made.moves_conditionally or made.name == "cmpxchg") and made.operands[0].register is not None:
        found[_widened(made, made.operands[0].register)] = None
    if made.name == "cmpxchg":
        found |= dict.fromkeys((_widened(made, made.accumulator("A")), REGISTERS["rflags"]))
    if made.repeats:
        found[REGISTERS["rcx"]] = None
    if made.loaded_base:
        found[REGISTERS[f"{made.loaded_base}_base"]] = None
    if made.name in ACCESSING_MSRS:
        found |= dict.fromkeys(REGISTERS[base] for base in BASES)
    if made.returns_from_interrupt:
        found = dict.fromkeys(REGISTERS[name] for name in ("rsp", "rflags", "cs", "ss", "ds", "es", "fs", "gs"))
    return replace(made, writes=tuple(found))


def _target(made: Decoded, term: Term) -> Place | None:
    """Return the register that a term names; None for memory."""
    if term.what.isdigit():
        register = made.operands[int(term.what)].register
        return None if register is None else _widened(made, register)
    if term.what in PUSHED or term.what in POPPED or term.what == "frame":
        return None
    if term.what in ("A", "D"):
        return _widened(made, made.accumulator(term.what))
    return REGISTERS["rflags"] if term.what == "F" else _widened(made, made.register(term.what))


def on_stack(made: Decoded, term: Term) -> bool:
    """Report whether a term names an x87 register relative to the top of their stack."""
    return term.what in STACK or (term.what.isdigit() and made.operands[int(term.what)].stack is not None)


def _touched(name: str) -> tuple[Place, ...]:
    """Return the registers that an instruction which is not modelled may read and write although none is named."""
    if name.startswith(("fxsave", "fxrstor", "xsave", "xrstor")):
        return (*_X87, *(REGISTERS[one] for one in VECTORS))
    if name in ("lfs", "lgs"):
        return (REGISTERS[f"{name[1:]}_base"],)
    return _X87 if name.startswith("f") and name not in _WORDS else ()


def _widened(made: Decoded, place: Place) -> Place:
    """Return the register of full width if a write to its lower half clears the rest."""
    clears = made.long and place.space in GENERAL_REGISTERS and place.size == 4
    return Place(place.space, 0, 8) if clears else place


def _places(found: Any, ids: list[int]) -> tuple[Place, ...]:
    names = [found.reg_name(one) for one in ids]
    return tuple(dict.fromkeys(REGISTERS[name] for name in names if name in REGISTERS))


def _operand(found: Any, operand: Any) -> Operand:
    if operand.type == _REGISTER:
        name = found.reg_name(operand.reg)
        if name.startswith("st("):
            return Operand(X87_BYTES, stack=int(name[3]))
        place = REGISTERS.get(name)
        return Operand(operand.size if place is None else place.size, place)
    if operand.type == _IMMEDIATE:
        return Operand(operand.size, None, operand.imm & 2**64 - 1)
    base, index = (_full(found, one) for one in (operand.mem.base, operand.mem.index))
    displacement = operand.mem.disp
    if base in ("rip", "eip"):
        base, displacement = None, displacement + found.address + found.size
    override = found.reg_name(operand.mem.segment) if operand.mem.segment else None
    segment = override or ("ss" if base in ("rsp", "rbp") else "ds")
    bits = found.addr_size * 8
    return Operand(operand.size, None, None, Address(base, index, operand.mem.scale, displacement, segment, bits))


def _full(found: Any, number: int) -> str | None:
    """Return the register of full width for a part of an address."""
    name = found.reg_name(number) if number else None
    if name is None or name in ("rip", "eip", "riz", "eiz"):
        return name if name in ("rip", "eip") else None
    return REGISTERS[name].space
