"""Uses of the general registers on the golden run: the next instruction that reads or overwrites each.

A bit inverted in a register has no effect before the register's next use. So all moments between two uses are one
class: one run, the pilot, stands for them, with their number as its weight. If the next use overwrites the whole
register without reading it, the fault is not activated, and needs no run.

Only what is certain counts as overwriting. Whatever emits an event counts as reading all registers, because the
watchers of the guarantees look at registers then; so does the guest's coprocessor, and the end of the run.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from enclave_sim.campaigns.golden import Golden, Moment
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import ConfigurationError
from machine.architecture.processor_state import GENERAL_REGISTERS

LONGEST = 1_000_000
"""The most instructions of a window."""
_MAYBE = ("cmov", "bsf", "bsr", "rep", "shld", "shrd", "shl", "shr", "sar", "sal", "ro", "rc", "cmpxchg", "xadd")
"""Beginnings of mnemonics that may leave their destination as it was."""


class Class(NamedTuple):
    """Moments that are equivalent for one register, or for one byte of RAM."""

    target: str | int
    """The register's name, or the byte's physical address."""
    first: int
    """Instructions retired at the first moment."""
    last: int
    """At the last one, just before the use: the pilot's."""
    read: bool
    """False if the use overwrites the register or the byte, or if there is none."""

    @property
    def weight(self) -> int:
        """The number of moments."""
        return self.last - self.first + 1


class Uses(NamedTuple):
    """Registers that one moment's instruction reads, or may read; and those that it overwrites without reading."""

    reads: frozenset[str]
    kills: frozenset[str]


ALL = Uses(frozenset(GENERAL_REGISTERS), frozenset())
_NONE = Uses(frozenset(), frozenset())


def check_window(window: range, instructions: int) -> None:
    """Raise ConfigurationError unless a window is in a run of so many instructions, and not too long."""
    if not 0 <= window.start < window.stop <= instructions or len(window) > LONGEST:
        raise ConfigurationError(
            f"instructions {window.start} to {window.stop} are no window of a run of {instructions}; "
            f"at most {LONGEST} are traced"
        )


class RegisterUses:
    """The uses of the general registers in a window of the golden run, and the classes of moments that follow.

    Args:
        enclave: The enclave of the golden run.
        golden: The golden run.
        window: Numbers of instructions retired before each moment.

    Raises:
        ConfigurationError: The window is empty, too long, or not in the run.
    """

    def __init__(self, enclave: Enclave, golden: Golden, window: range) -> None:
        check_window(window, golden.instructions)
        self._enclave, self.window = enclave, window
        golden.go_to(Moment(instructions=window.start))
        self._uses = self._trace(window)

    def _trace(self, window: range) -> list[Uses]:
        """Return the uses of each moment from the window's first until every register has been used after its end."""
        enclave, machine = self._enclave, self._enclave.machine
        found: list[Uses] = []
        left = set(GENERAL_REGISTERS)
        retired = machine.cpu.hook.retired
        while retired < window.stop or left:
            uses, more = self._step()
            for _ in range(retired - window.start + 1 - len(found)):
                found.append(_NONE)
            found[-1] = _joined(found[-1], uses)
            if retired >= window.stop:
                left -= uses.reads | uses.kills
            if not more or enclave.is_over:
                found.append(ALL)
                break
            retired = machine.cpu.hook.retired
        return found

    def _step(self) -> tuple[Uses, bool]:
        """Execute a step. Return its uses, and whether it was one."""
        enclave, machine = self._enclave, self._enclave.machine
        cpu = machine.cpu
        before, seen, sleeps = cpu.hook.retired, machine.journal.seq, machine.halted
        code = b"" if sleeps or enclave.in_guest else cpu.code.at(cpu.linear_rip)
        whole = enclave.in_guest
        more = enclave.step()
        if whole or machine.journal.seq != seen or cpu.hook.retired - before > 1:
            return ALL, more
        return (_decoded(code) if code and cpu.hook.retired > before else _NONE), more

    def classes(self, registers: tuple[str, ...] = GENERAL_REGISTERS) -> list[Class]:
        """Return the classes of the window, by register and time.

        Args:
            registers: Names of general registers.

        Returns:
            The classes; the weights of a register's add up to the length of the window.
        """
        found: list[Class] = []
        for register in registers:
            first: int | None = None
            for offset, uses in enumerate(self._uses):
                at = self.window.start + offset
                if first is None and at < self.window.stop:
                    first = at
                if first is None:
                    break
                if register in uses.reads or register in uses.kills or offset == len(self._uses) - 1:
                    found.append(Class(register, first, min(at, self.window.stop - 1), register not in uses.kills))
                    first = None
        return found

    def is_read(self, register: str, instructions: int) -> bool | None:
        """Report whether a register's value at a moment is read before it is overwritten; None if unknown."""
        offset = instructions - self.window.start
        if not 0 <= offset < len(self._uses):
            return None
        for uses in self._uses[offset:]:
            if register in uses.reads:
                return True
            if register in uses.kills:
                return False
        return None


def _joined(first: Uses, then: Uses) -> Uses:
    """Return the uses of two steps in a row."""
    reads = first.reads | then.reads - first.kills
    return Uses(reads, (first.kills | then.kills) - reads)


@lru_cache(maxsize=1)
def _disassembler() -> Any:
    import capstone  # noqa: PLC0415 - takes 30 ms

    found = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    found.detail = True
    return found


@lru_cache(maxsize=65536)
def _decoded(code: bytes) -> Uses:
    """Return the uses of an instruction in 64-bit code; what is unknown reads everything."""
    instruction = next(_disassembler().disasm(code, 0, 1), None)
    if instruction is None:
        return ALL
    reads, writes = instruction.regs_access()
    read = {_WHOLE[name] for name in map(instruction.reg_name, reads) if name in _WHOLE}
    for operand in instruction.operands:
        if operand.type == 3:  # memory: its address
            read |= {_WHOLE[n] for n in map(instruction.reg_name, (operand.mem.base, operand.mem.index)) if n in _WHOLE}
    killed = {_WHOLE[name] for name in map(instruction.reg_name, writes) if name in _FULL}
    partly = {_WHOLE[name] for name in map(instruction.reg_name, writes) if name in _WHOLE and name not in _FULL}
    if instruction.mnemonic.startswith(_MAYBE):
        return Uses(frozenset(read | killed | partly), frozenset())
    return Uses(frozenset(read | partly), frozenset(killed - read - partly))


def _names() -> tuple[dict[str, str], frozenset[str]]:
    whole: dict[str, str] = {}
    full: set[str] = set()
    for name in GENERAL_REGISTERS:
        if name[1:].isdigit():
            parts, wide = [f"{name}w", f"{name}b"], [name, f"{name}d"]
        else:
            short = name[1:]
            low = [f"{short[0]}l", f"{short[0]}h"] if short.endswith("x") else [f"{short}l"]
            parts, wide = [short, *low], [name, f"e{short}"]
        whole |= dict.fromkeys([*parts, *wide], name)
        full.update(wide)
    return whole, frozenset(full)


_WHOLE, _FULL = _names()
