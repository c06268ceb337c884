"""The registers that a block of code may use, to show whether it may touch labelled bytes."""

from functools import lru_cache

from enclave_sim.time_travel.navigation.provenance.decoding import Decoded, decoded, on_stack
from enclave_sim.time_travel.navigation.provenance.places import MMX, REGISTERS
from enclave_sim.time_travel.navigation.provenance.roles import POPPED, PUSHED
from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine

_LONGEST, _MOST = 15, 256
_IN_MEMORY = frozenset([*PUSHED, *POPPED, "frame", "'table'"])
_ENDS = ("j", "call", "ret", "iret", "loop", "int", "sys", "hlt", "ud", "lcall", "ljmp")


@lru_cache(maxsize=8192)
def registers_of(code: bytes, address: int, long: bool) -> frozenset[str] | None:
    """Return the registers that an instruction may read or write, by space; None if it is not modelled."""
    found = decoded(code, address, long)
    if found is None or found.effects is None:
        return None
    names = {place.space for place in (*found.reads, *found.writes)}
    for operand in found.operands:
        if operand.register is not None:
            names.add(operand.register.space)
        if operand.memory is not None:
            names |= {one for one in (operand.memory.base, operand.memory.index) if one is not None}
    for effect in found.effects:
        if any(on_stack(found, term) for term in (effect.target, *effect.sources)):
            names |= set(MMX)
        names |= {REGISTERS[term.what].space for term in (effect.target, *effect.sources) if term.what in REGISTERS}
    return frozenset(names)


@lru_cache(maxsize=8192)
def uses_memory(code: bytes, address: int, long: bool) -> bool:
    """Report whether an instruction may access memory."""
    found = decoded(code, address, long)
    if found is None or found.effects is None or found.returns_from_interrupt:
        return True
    terms = {term.what for effect in found.effects for term in (effect.target, *effect.sources)}
    return bool(terms & _IN_MEMORY) or any(operand.memory is not None for operand in found.operands)


class Blocks:
    """Looks at blocks of code of a running machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._known: dict[tuple[int, bool], tuple[int, bytes, frozenset[str] | None]] = {}

    def may_touch(self, address: int, spaces: set[str]) -> bool:
        """Report whether the block at a linear address may use any of some registers.

        Instructions after its end are looked at too, up to the next branch: the machine executes some by itself.

        Args:
            address: The linear address.
            spaces: The registers.

        Returns:
            True if it may.
        """
        machine = self._machine
        long = machine.cpu.registers.in_64_bit_code
        page = machine.cpu.memory.look(address & -PAGE_SIZE)
        if page is None:
            return True
        start = page.physical + address % PAGE_SIZE
        known = self._known.get((address, long))
        if known is None or known[0] != start or machine.ram.view[start : start + len(known[1])] != known[1]:
            known = self._known[address, long] = (start, *self._look(start, address, long))
        return known[2] is None or not spaces.isdisjoint(known[2])

    def _look(self, start: int, address: int, long: bool) -> tuple[bytes, frozenset[str] | None]:
        """Return the code of a block, and the registers that it may use; None for all."""
        limit = min((start & -PAGE_SIZE) + PAGE_SIZE, self._machine.ram.size)
        code = bytes(self._machine.ram.view[start:limit])
        names: set[str] = set()
        at = 0
        for _ in range(_MOST):
            here = code[at : at + _LONGEST]
            registers = registers_of(here, address + at, long)
            if registers is None:
                return code[: at + _LONGEST], None
            names |= registers
            found = decoded(here, address + at, long)
            assert found is not None
            at += found.length
            if _ends(found) or at >= len(code):
                break
        return code[:at], frozenset(names)


def _ends(found: Decoded) -> bool:
    return found.name.startswith(_ENDS)
