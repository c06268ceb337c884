"""The registers as gdb numbers them: those of an x86-64 processor in gdb's order, then what only the system sees.

Numbers are places in `REGISTERS`, which is also the order of the target description.
"""

from collections.abc import Callable
from dataclasses import dataclass

from machine.debug_registers import DebugRegisters
from machine.machine import Machine
from machine.processor_state import SEGMENT_REGISTERS

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
    """Of a stopped machine."""
    group: str | None = None

    def value(self, machine: Machine) -> bytes:
        """Its value in the target's byte order."""
        return (self.read(machine) & (1 << self.bits) - 1).to_bytes(self.bits // 8, "little")


def _general(name: str) -> Callable[[Machine], int]:
    return lambda machine: int(getattr(machine.cpu.registers, name))


def _named(name: str) -> Callable[[Machine], int]:
    return lambda machine: machine.cpu.read_register(name)


def _segment(name: str, field: str) -> Callable[[Machine], int]:
    return lambda machine: int(getattr(getattr(machine.cpu.registers, name), field))


def _control(number: int) -> Callable[[Machine], int]:
    return lambda machine: int(machine.cpu.registers.cr[number])


def _debug(number: int) -> Callable[[Machine], int]:
    def read(machine: Machine) -> int:
        debug: DebugRegisters = machine.cpu.debug
        return debug.read(number)

    return read


def _st(number: int) -> Callable[[Machine], int]:
    """ST(i): relative to the top of the stack, which the first word tells."""

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


def _all() -> tuple[Register, ...]:
    general = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)), "rip")
    types = {"rbp": "data_ptr", "rsp": "data_ptr", "rip": "code_ptr"}
    x87 = {"fctrl": "FPCW", "fstat": "FPSW", "ftag": "FPTAG", "fiseg": "FCS", "fioff": "FIP"} | {
        "foseg": "FDS",
        "fooff": "FDP",
        "fop": "FOP",
    }
    found = [Register(CORE, name, 64, types.get(name, "int64"), _general(name)) for name in general]
    found.append(Register(CORE, "eflags", 32, "rflags", lambda machine: machine.cpu.rflags))
    found += [
        Register(CORE, name, 32, "int32", _segment(name, "selector"))
        for name in sorted(SEGMENT_REGISTERS, key=("cs", "ss", "ds", "es", "fs", "gs").index)
    ]
    found += [Register(CORE, f"st{n}", 80, "i387_ext", _st(n)) for n in range(8)]
    found += [Register(CORE, name, 32, "int", _named(theirs), "float") for name, theirs in x87.items()]
    found += [Register(SSE, f"xmm{n}", 128, "vec128", _xmm(n)) for n in range(16)]
    found.append(Register(SSE, "mxcsr", 32, "mxcsr", _named("MXCSR"), "vector"))
    found += [Register(SEGMENTS, f"{name}_base", 64, "int64", _segment(name, "base")) for name in ("fs", "gs")]
    return (*found, *_system())


def _system() -> list[Register]:
    def of(name: str, bits: int, kind: str, read: Callable[[Machine], int]) -> Register:
        return Register(SYSTEM, name, bits, kind, read, "system")

    return [
        of("cpl", 32, "uint32", lambda machine: machine.cpu.registers.cpl),
        of("now_ns", 64, "uint64", lambda machine: machine.clock.now_ns),
        *(of(f"cr{n}", 64, f"cr{n}" if n in (0, 4) else "uint64", _control(n)) for n in (0, 2, 3, 4)),
        of("efer", 64, "efer", lambda machine: machine.cpu.registers.efer),
        of("kernel_gs_base", 64, "int64", lambda machine: machine.cpu.context.kernel_gs_base),
        *(
            of(f"{table}_{field}", bits, kind, _segment(table, field))
            for table in ("gdtr", "idtr", "tr")
            for field, bits, kind in (("base", 64, "data_ptr"), ("limit", 32, "uint32"))
        ),
        of("tr", 32, "uint32", _segment("tr", "selector")),
        *(of(f"dr{n}", 64, "uint64", _debug(n)) for n in (0, 1, 2, 3, 6, 7)),
    ]


REGISTERS = _all()
NUMBERS = {register.name: number for number, register in enumerate(REGISTERS)}
