"""One instruction of a user-mode program, on the host's own processor and on a machine, from the same start."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO

import pytest
from elftools.elf.elffile import ELFFile

from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.boot import loader
from machine.machine import Machine, MachineConfiguration
from machine.processor.step_hook import NEVER
from tests.machine.assembler import Assembler
from tests.oracle.host_processor import witness
from tests.oracle.host_processor.records import CODE_64_SELECTOR, DATA_SELECTOR, EXECUTE, READ, WRITE, Region, Start

CODE, DATA = 0x25_0000, 0x26_0000
DATA_BYTES = 256
"""At the beginning of the page `DATA`."""
UD, XM = 6, 19
STATUS_FLAGS = 0x8D5
ALL_MASKED = 0x1F80
_END = b"\x0f\x0b"  # UD2
_CONTROL_WORD, _FX_MXCSR, _FX_REGISTERS, _FX_VECTORS = 0x37F, 24, 32, 160
_HOST_NAMES = tuple(name.upper() for name in GENERAL_REGISTERS)

host_only = pytest.mark.skipif(
    witness.missing() is not None, reason=f"compares with the host's processor: {witness.missing()}"
)


@dataclass(frozen=True)
class State:
    """The registers and the memory that an instruction uses."""

    general: tuple[int, ...] = (0,) * 16
    """By their numbers in an instruction."""
    vectors: tuple[int, ...] = (0,) * 16
    mmx: tuple[int, ...] = (0,) * 8
    mxcsr: int = ALL_MASKED
    rflags: int = 0x202
    memory: bytes = field(default=bytes(DATA_BYTES), repr=False)
    vector: int = UD
    """Of the exception that ended it: UD from the UD2 after the instruction, or its own."""
    rip: int = CODE


@dataclass(frozen=True)
class Program:
    """An instruction and its start state."""

    code: bytes
    start: State


def differences(one: State, other: State, flags: int = STATUS_FLAGS) -> dict[str, tuple[str, str]]:
    """Name the differences between two ends; only the status flags in `flags` count."""
    found = {}
    for name, here, there in (
        *((name, getattr(one, name), getattr(other, name)) for name in ("vector", "rip", "mxcsr")),
        ("rflags", one.rflags & flags, other.rflags & flags),
        *((GENERAL_REGISTERS[n], one.general[n], other.general[n]) for n in range(16)),
        *((f"xmm{n}", one.vectors[n], other.vectors[n]) for n in range(16)),
        *((f"mm{n}", one.mmx[n], other.mmx[n]) for n in range(8)),
        ("memory", int.from_bytes(one.memory, "little"), int.from_bytes(other.memory, "little")),
    ):
        if here != there:
            found[name] = (f"{here:#x}", f"{there:#x}")
    return found


def on_host(programs: Sequence[Program]) -> list[State]:
    """Execute each program on the host's processor."""
    regions = (Region(CODE, _END * 2048, READ | EXECUTE), Region(DATA, bytes(4096), READ | WRITE))
    with witness.Witness(regions) as running:
        ends = []
        for program, end in zip(programs, running.run([_started(program) for program in programs]), strict=True):
            assert not end.killed, program
            memory = bytearray(program.start.memory.ljust(4096, b"\0"))
            for at, piece in end.memory:
                if DATA <= at < DATA + 4096:
                    memory[at - DATA : at - DATA + len(piece)] = piece
            ends.append(
                State(
                    tuple(end.registers[name] for name in _HOST_NAMES),
                    tuple(int.from_bytes(end.fx[at : at + 16], "little") for at in _places(_FX_VECTORS, 16)),
                    tuple(int.from_bytes(end.fx[at : at + 8], "little") for at in _places(_FX_REGISTERS, 8)),
                    int.from_bytes(end.fx[_FX_MXCSR : _FX_MXCSR + 4], "little"),
                    end.registers["RFLAGS"],
                    bytes(memory[:DATA_BYTES]),
                    end.vector,
                    end.registers["RIP"],
                )
            )
    return ends


def _places(first: int, count: int) -> range:
    return range(first, first + 16 * count, 16)


def _started(program: Program) -> Start:
    start = program.start
    fx = bytearray(512)
    fx[0:2] = _CONTROL_WORD.to_bytes(2, "little")
    fx[_FX_MXCSR : _FX_MXCSR + 4] = start.mxcsr.to_bytes(4, "little")
    for at, value in zip(_places(_FX_REGISTERS, 8), start.mmx, strict=True):
        fx[at : at + 10] = value.to_bytes(8, "little") + b"\xff\xff"
    for at, value in zip(_places(_FX_VECTORS, 16), start.vectors, strict=True):
        fx[at : at + 16] = value.to_bytes(16, "little")
    registers = dict(zip(_HOST_NAMES, start.general, strict=True))
    registers |= {"RIP": CODE, "RFLAGS": start.rflags, "CS": CODE_64_SELECTOR, "SS": DATA_SELECTOR}
    registers |= dict.fromkeys(("DS", "ES", "FS", "GS", "FS_BASE", "GS_BASE"), 0)
    return Start(registers, bytes(fx), ((CODE, program.code + _END), (DATA, start.memory)))


class UserMachine:
    """A machine whose test kernel has entered ring 3, where it executes one program after another."""

    def __init__(self, assembler: Assembler, *, portable: bool = False) -> None:
        image = assembler.build("kernel.S", "ud2", RING=3, RFLAGS=0x202, EXTRA_CR4=0)
        self._machine = Machine(MachineConfiguration(16 << 20, portable=portable))
        symbols = _symbols(image)
        self._handler = symbols["handler"]
        loader.load(self._machine, image)
        self._machine.stop_at([symbols["body"]])
        self._machine.run(1_000_000)
        assert self._machine.at_stop
        self._machine.stop_at([self._handler])
        self._user = self._machine.cpu.save_state()

    def run(self, program: Program) -> State:
        """Execute a program to its end in an exception."""
        machine, cpu, start = self._machine, self._machine.cpu, program.start
        machine.ram.write(CODE, program.code + _END * 8)
        machine.ram.write(DATA, start.memory)
        cpu.load_state(self._user)
        cpu.hook.passing = NEVER  # the clock has gone back: this is not the stop already passed
        for name, value in zip(GENERAL_REGISTERS, start.general, strict=True):
            setattr(cpu.registers, name, value)
        cpu.registers.rip, cpu.rflags = CODE, start.rflags
        for number, value in enumerate(start.vectors):
            cpu.context.write_vector(number, value)
        for number, value in enumerate(start.mmx):
            cpu.context.write_mmx(number, value)
        cpu.context.mxcsr = start.mxcsr
        machine.run(machine.clock.now_ns + 1_000_000)
        assert machine.at_stop, "the program has not ended"
        frame = [int.from_bytes(machine.ram.read(cpu.registers.rsp + 8 * n, 8), "little") for n in range(6)]
        vector, _, rip, _, rflags, rsp = frame
        general = [getattr(cpu.registers, name) for name in GENERAL_REGISTERS]
        general[4] = rsp
        return State(
            tuple(general),
            tuple(cpu.context.read_vector(number) for number in range(16)),
            tuple(cpu.context.read_mmx(number) for number in range(8)),
            cpu.context.mxcsr,
            rflags,
            machine.ram.read(DATA, DATA_BYTES),
            vector,
            rip,
        )


def _symbols(image: bytes) -> dict[str, int]:
    table = ELFFile(BytesIO(image)).get_section_by_name(".symtab")
    return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
