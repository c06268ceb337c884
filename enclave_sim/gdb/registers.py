"""The registers with gdb's numbers: those of an x86 processor in gdb's order, then the system registers.

The number of a register is its index in the tuple of all, which is also the order of the target description. For a
32-bit image gdb accepts only the registers of an i386.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from machine.architecture.processor_state import SEGMENT_REGISTERS
from machine.machine import Machine
from machine.processor.debug_registers import DebugRegisters

_X87_BEFORE, _X87_EACH, _X87_BYTES = 20, 16, 10
CORE, SSE, SEGMENTS, SYSTEM = (
    *("org.gnu.gdb.i386.core", "org.gnu.gdb.i386.sse", "org.gnu.gdb.i386.segments"),
    "org.enclave-sim.system",
)


@dataclass(frozen=True, slots=True)
class Register:
    """One register of the target description."""

    feature: str
    name: str
    bits: int
    type: str
    read: Callable[[Machine], int]
    """Reads it from a stopped machine."""
    group: str | None = None

    def value(self, machine: Machine) -> bytes:
        """Return its value in the target's byte order (little-endian)."""
        return (self.read(machine) & (1 << self.bits) - 1).to_bytes(self.bits // 8, "little")


def _general(name: str) -> Callable[[Machine], int]:
    return lambda machine: int(getattr(machine.cpu.registers, name))


def _named(name: str) -> Callable[[Machine], int]:
    return lambda machine: machine.cpu.read_register(name)


def _segment(name: str, field: str) -> Callable[[Machine], int]:
    return lambda machine: int(getattr(getattr(machine.cpu.registers, name), field))


def _control(number: int) -> Callable[[Machine], int]:
    return lambda machine: machine.cpu.read_register(f"CR{number}")


def _debug(number: int) -> Callable[[Machine], int]:
    def read(machine: Machine) -> int:
        debug: DebugRegisters = machine.cpu.debug
        return debug.read(number)

    return read


def _st(number: int) -> Callable[[Machine], int]:
    """Read ST(i), relative to the top of the stack: TOP is in the first word of the saved state."""

    def read(machine: Machine) -> int:
        x87 = machine.cpu.context.x87
        place = (int.from_bytes(x87[:4], "little") + number) % 8
        start = _X87_BEFORE + _X87_EACH * place
        return int.from_bytes(x87[start : start + _X87_BYTES], "little")

    return read


def _xmm(number: int) -> Callable[[Machine], int]:
    def read(machine: Machine) -> int:
        vectors = machine.cpu.context.vector_registers
        start = number * (len(vectors) // 16)
        return int.from_bytes(vectors[start : start + 16], "little")

    return read


_I386 = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip")
_X86_64 = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)), "rip")
_POINTERS = {"bp": "data_ptr", "sp": "data_ptr", "ip": "code_ptr"}
_X87 = {"fctrl": "FPCW", "fstat": "FPSW", "ftag": "FPTAG", "fiseg": "FCS", "fioff": "FIP"} | {
    "foseg": "FDS",
    "fooff": "FDP",
    "fop": "FOP",
}


def _all(bits: int) -> tuple[Register, ...]:
    general, vectors = (_X86_64, 16) if bits == 64 else (_I386, 8)
    found = [
        Register(CORE, name, bits, _POINTERS.get(name[1:], f"int{bits}"), _general(f"r{name[1:]}")) for name in general
    ]
    found.append(Register(CORE, "eflags", 32, "rflags", lambda machine: machine.cpu.rflags))
    found += [
        Register(CORE, name, 32, "int32", _segment(name, "selector"))
        for name in sorted(SEGMENT_REGISTERS, key=("cs", "ss", "ds", "es", "fs", "gs").index)
    ]
    found += [Register(CORE, f"st{n}", 80, "i387_ext", _st(n)) for n in range(8)]
    found += [Register(CORE, name, 32, "int", _named(theirs), "float") for name, theirs in _X87.items()]
    found += [Register(SSE, f"xmm{n}", 128, "vec128", _xmm(n)) for n in range(vectors)]
    found.append(Register(SSE, "mxcsr", 32, "mxcsr", _named("MXCSR"), "vector"))
    if bits == 64:
        found += [Register(SEGMENTS, f"{name}_base", 64, "int64", _segment(name, "base")) for name in ("fs", "gs")]
    return (*found, *_system(bits))


def _system(pointer_bits: int) -> list[Register]:
    def of(name: str, bits: int, kind: str, read: Callable[[Machine], int]) -> Register:
        return Register(SYSTEM, name, bits, kind, read, "system")

    address = "data_ptr" if pointer_bits == 64 else "uint64"
    return [
        of("cpl", 32, "uint32", lambda machine: machine.cpu.registers.cpl),
        of("now_ns", 64, "uint64", lambda machine: machine.clock.now_ns),
        *(of(f"cr{n}", 64, f"cr{n}" if n in (0, 4) else "uint64", _control(n)) for n in (0, 2, 3, 4)),
        of("efer", 64, "efer", lambda machine: machine.cpu.registers.efer),
        of("kernel_gs_base", 64, "int64", lambda machine: machine.cpu.context.kernel_gs_base),
        *(
            of(f"{table}_{field}", bits, kind, _segment(table, field))
            for table in ("gdtr", "idtr", "tr")
            for field, bits, kind in (("base", 64, address), ("limit", 32, "uint32"))
        ),
        of("tr", 32, "uint32", _segment("tr", "selector")),
        *(of(f"dr{n}", 64, "uint64", _debug(n)) for n in (0, 1, 2, 3, 6, 7)),
    ]


@dataclass(frozen=True)
class Architecture:
    """An architecture of gdb, with its registers."""

    name: str
    registers: tuple[Register, ...]
    expedited: tuple[str, ...]
    """The registers whose values are sent with every stop reply."""

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each register by its name."""
        return {register.name: number for number, register in enumerate(self.registers)}


X86_64 = Architecture("i386:x86-64", _all(64), ("rip", "rsp", "rbp"))
I386 = Architecture("i386", _all(32), ("eip", "esp", "ebp"))
