"""Whoever writes to RAM, the processor executes the new content: all writers, each over executed code."""

import ast
import ctypes
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import enclave_sim
import machine as machine_package
from machine.boot import loader
from machine.bus.ram import LINE_SIZE, PAGE_SIZE, RamImage
from machine.devices.engines import scrub_engine
from machine.machine import Machine, MachineConfiguration, Outcome
from machine.processor.native.build import ARCHITECTURES
from tests.machine.assembler import Assembler
from tests.machine.conftest import Kernel
from tests.machine.native_code import Blob

MIB = 1 << 20
CODE, FIRST, SECOND, GO = 0x26_0000, 0x24_0000, 0x24_0008, 0x24_0010
SCRATCH = 0x24_0800
MOV_EAX_1 = bytes.fromhex("b801000000c3")
CHANNEL = scrub_engine.ADDRESS + 0x100
FW_CFG_DMA = "movl $0x{0:x}, %eax; bswapl %eax; movw $0x518, %dx; outl %eax, %dx;"


@dataclass(frozen=True)
class Writer:
    """Something that changes code at `at`, which returns `before` in RAX and then `after`.

    The processor executes `act` between two calls, or `outside` is called.
    """

    name: str
    act: str
    before: int
    after: int
    code: bytes = MOV_EAX_1
    at: int = CODE
    setup: str = ""
    memory: tuple[tuple[int, bytes], ...] = ()
    source: str = "kernel.S"
    outside: Callable[[Machine], None] | None = None


def scrub(base: int, length: int) -> str:
    return f"movl ${CHANNEL}, %edi; movl ${base}, (%rdi); movl ${length}, 4(%rdi); movl $1, 8(%rdi);"


def fw_cfg(control: int, length: int, address: int) -> bytes:
    return struct.pack(">IIQ", control, length, address)


def load_again(machine: Machine) -> None:
    """Load a Multiboot 1 image whose only content is code at CODE."""
    header = 0x1BADB002, 1 << 16, -(0x1BADB002 + (1 << 16)) & 0xFFFF_FFFF
    addresses = CODE - 0x100, CODE - 0x100, 0, 0, CODE
    state, clock = machine.cpu.save_state(), machine.clock.save_state()
    image = struct.pack("<8I", *header, *addresses).ljust(0x100, b"\0") + bytes.fromhex("b807000000c3")
    loader.load(machine, image)
    machine.cpu.load_state(state)
    machine.clock.load_state(clock)


def restore(machine: Machine) -> None:
    """Load a snapshot that differs in one byte of code."""
    snapshot, changed = machine.snapshot(), bytearray(machine.ram.view)
    changed[CODE + 1] = 7
    machine.restore(msgspec.structs.replace(snapshot, ram=RamImage(((0, bytes(changed)),))))


def through_an_address(machine: Machine) -> None:
    """Write to a lent range, like a guest engine, which reports it when it leaves."""
    ctypes.c_uint8.from_address(machine.ram.lend(CODE & -MIB, MIB) + CODE % MIB + 1).value = 7
    machine.ram.lent_changed()


IN_FLAT_MODE = "movl $gdt, %esi; movl $0x260000, %edi; movl $18, %ecx; cld; rep movsl;"
NEW_GDT = "movw $0x4F, 0x240100; movl $0x260000, 0x240102; movl $0, 0x240106; lgdt 0x240100;"
WRITERS = (
    Writer("scrub engine", scrub(CODE + 1, 1), 1, 0),
    Writer(
        "fw_cfg, the data",
        FW_CFG_DMA.format(0x24_0200),
        1,
        int.from_bytes(b"QEMU", "little"),
        memory=((0x24_0200, fw_cfg(0x0000_000A, 4, CODE + 1)),),
    ),
    Writer(  # the control word of the access is in the instruction
        "fw_cfg, the answer",
        FW_CFG_DMA.format(CODE + 1),
        0x0400_0000,
        0,
        code=b"\xb8" + struct.pack(">I", 4) + b"\xc3",
    ),
    Writer(  # SS becomes 10H 00H ..., ADC and ADD to [RAX]
        "frame of an interrupt in long mode",
        f"movq %rsp, %r14; movl ${CODE + 0x110}, %esp; leaq 1f(%rip), %r15; int $0x80; 1: movq %r14, %rsp;",
        1,
        SCRATCH,
        at=CODE + 0x108,
        code=bytes.fromhex("b801000000909090c3"),
    ),
    Writer(  # RFLAGS becomes 46H 00H 00H 00H, INC ESI and ADD to [EAX]
        "frame of an interrupt in protected mode",
        f"movl %esp, %edi; movl ${CODE + 0x104}, %esp; movl $1f, resume; xorl %eax, %eax; int $0x80;"
        "1: movl %edi, %esp;",
        1,
        SCRATCH,
        at=CODE + 0x100,
        source="kernel32.S",
    ),
    Writer(  # the saved GS is the immediate; CR0.TS would have it translated anew
        "task switch by an interrupt, the old TSS",
        "movl $0x10, %eax; movl %eax, %gs;"
        "movl %cr3, %eax; movl %eax, tss2 + 28; movl $1f, tss2 + 32; movl $2, tss2 + 36; movl %esp, tss2 + 56;"
        "movl $0x10, tss2 + 72; movl $8, tss2 + 76; movl $0x10, tss2 + 80; movl $0x10, tss2 + 84;"
        "movl $tss2, %eax; movw %ax, gdt + 0x42; shrl $16, %eax; movb %al, gdt + 0x44;"
        "movw $0x40, idt + 8 * 0x83 + 2; movw $0x8500, idt + 8 * 0x83 + 4; int $0x83; 1: clts;",
        0x1234,
        0x0010,
        at=CODE + 0x5B,
        code=bytes.fromhex("b834120000c3"),
        setup="movl $0x26, %eax; movb %al, gdt_tss + 4; movw $0, gdt_tss + 2; movb $0x89, gdt_tss + 5;"
        "movw $0x28, %ax; ltr %ax;",
        source="kernel32.S",
    ),
    Writer(  # the descriptor 0x48 is MOV EAX, imm32 from its third byte on, and RET
        "accessed flag of a code segment",
        "movw $0x48, idt + 16 * 0x82 + 2; leaq 1f(%rip), %r15; int $0x82; 1:",
        0x209A_0201,
        0x209B_0201,
        at=CODE + 0x4A,
        code=bytes.fromhex("b801029a20c3"),
        setup=IN_FLAT_MODE + NEW_GDT,
    ),
    Writer(  # the entry of 0x410000 is the operand of MOVABS RAX
        "accessed and dirty flags of a page",
        "movq %rsp, %r14; movl $0x410800, %esp; leaq 1f(%rip), %r15; int $0x80; 1: movq %r14, %rsp;",
        0x27_0003,
        0x27_0063,
        code=bytes.fromhex("e900000000"),
        setup="movl $0xB8480000, pt + 8 * 15 + 4; movl $0x270003, pt + 8 * 16; movl $0xC3, pt + 8 * 17;"
        f"leaq pt + 8 * 15 + 6(%rip), %rax; subq ${CODE + 5}, %rax; movl %eax, {CODE + 1};",
    ),
    Writer("write", "", 1, 7, outside=lambda machine: machine.ram.write(CODE + 1, b"\7")),
    Writer("fill with zeros", "", 1, 0, outside=lambda machine: machine.ram.zero(CODE + 1, 1)),
    Writer("loader", "", 1, 7, outside=load_again),
    Writer("snapshot", "", 1, 7, outside=restore),
    Writer("guest engine", "", 1, 7, outside=through_an_address),
)


def machine_with(assembler: Assembler, writer: Writer, body: str, *, portable: bool) -> Machine:
    machine = Machine(MachineConfiguration(16 * MIB, portable=portable))
    defines = {"PAGING": 0} if writer.source == "kernel32.S" else {"RFLAGS": 2, "EXTRA_CR4": 0}
    loader.load(machine, assembler.build(writer.source, body, RING=0, **defines))
    for address, data in (*writer.memory, (writer.at, writer.code)):
        machine.ram.write(address, data)
    return machine


both_hooks = pytest.mark.parametrize(
    "portable", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["native", "portable"]
)


@both_hooks
@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.name)
def test_what_was_written_is_executed(assembler: Assembler, writer: Writer, portable: bool) -> None:
    register = "%ecx" if writer.source == "kernel32.S" else "%rcx"
    call = f"movl ${SCRATCH}, %eax; movl ${writer.at}, %ecx; call *{register}; movl %eax, "
    act = writer.act or f"2: cmpb $0, {GO}; je 2b;"
    body = f"{writer.setup} {call} {FIRST}; {act} {call} {SECOND}; hlt"
    machine = machine_with(assembler, writer, body, portable=portable)
    if writer.outside is not None:
        machine.run(100_000)
        assert machine.ram.read(FIRST, 1) == b"\1"
        writer.outside(machine)
        machine.ram.write(GO, b"\1")
    machine.run(200_000)
    returned = [int.from_bytes(machine.ram.read(at, 4), "little") for at in (FIRST, SECOND)]
    assert returned == [writer.before, writer.after]


def test_unicorn_sets_no_flags_of_entries_that_are_code(kernel: Kernel) -> None:
    """docs/unicorn.md: the entry of 0x410000 is the operand of MOVABS RAX, and the next one is RET."""
    registers = kernel(
        "movl $0xB8480000, pt + 8 * 15 + 4; movl $0x270003, pt + 8 * 16; movl $0xC3, pt + 8 * 17;"
        "call pt + 8 * 15 + 6; movl 0x410000, %ebx; call pt + 8 * 15 + 6; movl pt + 8 * 16, %ecx; hlt"
    ).machine.cpu.registers
    assert (registers.rax, registers.rcx) == (0x27_0003, 0x27_0003)


@pytest.mark.parametrize("alias", ["executable", "not executable"])
def test_code_written_at_another_linear_address_is_executed(kernel: Kernel, alias: str) -> None:
    """0x408000 and 0x409000 are one page; of several stores a later one matters."""
    not_executable = 0x8000_0000 if alias == "not executable" else 0
    stores = "".join(
        f"movb $1, 0x409100; movb ${count}, 0x409001; call *%rcx; movb %al, {FIRST + count};"
        + ("movq %cr3, %rax; movq %rax, %cr3;" if count == 2 else "")
        for count in (1, 2, 3, 4)
    )
    ran = kernel(
        "movl $0x260003, pt + 64; movl $0, pt + 68;"
        f"movl $0x260003, pt + 72; movl ${not_executable}, pt + 76; movq %cr3, %rax; movq %rax, %cr3;"
        "movl $0x000001B8, 0x409000; movw $0xC300, 0x409004; movl $0x408000, %ecx;" + stores + "hlt"
    )
    assert list(ran.machine.ram.read(FIRST + 1, 4)) == [1, 2, 3, 4]


def executing(code: bytes, at: int, *, portable: bool = False) -> Machine:
    """A machine in flat mode before code."""
    machine = Machine(MachineConfiguration(16 * MIB, portable=portable))
    machine.ram.write(at, code)
    machine.start(at, {})
    return machine


@both_hooks
@pytest.mark.parametrize("spends", [False, True], ids=["at once", "after time has passed"])
def test_the_very_next_instruction_is_as_a_device_left_it(portable: bool, spends: bool) -> None:
    """The scrub engine clears the immediate of the following instruction."""
    start = (
        bytes.fromhex("bf") + struct.pack("<I", CHANNEL) + bytes.fromhex("c70701002600")
    )  # MOV EDI; MOV [EDI], CODE + 1
    go = bytes.fromhex("c7470404000000") + bytes.fromhex("c7470801000000")
    machine = Machine(MachineConfiguration(16 * MIB, portable=portable))
    machine.ram.write(CODE - len(start + go), start + go + bytes.fromhex("b844332211f4"))
    machine.start(CODE - len(start + go), {})
    if spends:  # which recomputes the deadline, and must not restore the previous one
        machine.local_apic.write(0x320, 4, 0x2_0020)
        machine.local_apic.write(0x380, 4, 10_000)
        machine.scrub_engine.on_fill = lambda *_: machine.local_apic.write(0x380, 4, 20_000)
    assert machine.run(9_000_000) is Outcome.HALTED
    assert machine.cpu.read_register("RAX") == 0


@both_hooks
def test_both_pages_of_an_instruction_are_noted(portable: bool) -> None:
    """MOV EAX, imm32 crosses a page boundary, and nothing else is executed in the second page."""
    at = CODE + 0x1000 - 2
    machine = executing(bytes.fromhex("b811223344f4"), at, portable=portable)
    machine.run(9_000_000)
    machine.ram.write(CODE + 0x1000, b"\x99")
    machine.start(at, {})
    machine.run(9_000_000)
    assert machine.cpu.read_register("RAX") == 0x4433_9911


@both_hooks
def test_what_was_translated_and_not_executed_is_noted(portable: bool) -> None:
    """A block continues into a second page, in which nothing has been executed when it changes."""
    at = CODE + 0x1000 - 4
    machine = executing(bytes.fromhex("b001b002b003f4"), at, portable=portable)
    assert machine.run(1) is Outcome.LIMIT
    machine.ram.write(CODE + 0x1001, b"\5")
    machine.start(at, {})
    machine.run(9_000_000)
    assert machine.cpu.read_register("RAX") == 5


@both_hooks
def test_the_first_block_of_a_machine_is_noted(portable: bool) -> None:
    """Unicorn reports only translations made after it has executed something."""
    machine = executing(bytes.fromhex("ebfe"), CODE, portable=portable)
    machine.run(1_000)
    machine.ram.write(CODE, bytes.fromhex("b005f4"))
    assert machine.run(9_000_000) is Outcome.HALTED
    assert machine.cpu.read_register("RAX") == 5


@both_hooks
def test_a_block_is_noted_though_the_machine_stopped_before_it(portable: bool) -> None:
    machine = executing(bytes.fromhex("b001f4"), CODE, portable=portable)
    machine.stop_at([CODE])
    assert machine.run() is Outcome.STOPPED
    machine.ram.write(CODE + 1, b"\5")
    machine.run(9_000_000)
    assert machine.cpu.read_register("RAX") == 5


@given(
    at=st.integers(0, 0x3000).map(lambda offset: CODE + offset),
    length=st.integers(1, 40),
    written=st.tuples(st.integers(-80, 120), st.integers(1, 200)),
)
@settings(max_examples=60)
def test_code_and_what_is_beside_it(at: int, length: int, written: tuple[int, int]) -> None:
    """A write drops translations only in lines with code."""
    machine = executing(b"\x90" * (length - 1) + b"\xf4", at)
    machine.run(9_000_000)
    code = range(at // LINE_SIZE, (at + length - 1) // LINE_SIZE + 1)
    base = at + written[0]
    machine.ram.zero(base, written[1])
    lines = range(base // LINE_SIZE, (base + written[1] - 1) // LINE_SIZE + 1)
    met = sorted(set(code) & set(lines))
    assert machine.ram.stale_code == ([range(met[0] * LINE_SIZE, (met[-1] + 1) * LINE_SIZE)] if met else [])


PAGE_ADDRESSES = st.one_of(st.none(), st.integers(0, 6).map(lambda page: page * PAGE_SIZE))
BLOBS = {architecture: Blob(architecture, "translation_hook") for architecture in ARCHITECTURES}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(
    address=st.integers(0x7000, 0x8FFF),
    size=st.integers(0, PAGE_SIZE),
    places=st.tuples(PAGE_ADDRESSES, PAGE_ADDRESSES, PAGE_ADDRESSES),
)
@settings(max_examples=60)
def test_native_code_notes_the_lines_of_a_block(
    architecture: str, address: int, size: int, places: tuple[int | None, ...]
) -> None:
    """A block without an instruction has one byte, because Unicorn assumes that every write in its page affects it."""
    pages = {0x7000 + PAGE_SIZE * index: at for index, at in enumerate(places) if at is not None}
    ram_size = 6 * PAGE_SIZE
    bytes_of_block = range(address, address + (size or 1))
    where = [pages.get(byte & -PAGE_SIZE, ram_size) + byte % PAGE_SIZE for byte in bytes_of_block]
    expected = bytearray(ram_size // LINE_SIZE)
    for at in where:
        if at < ram_size:
            expected[at // LINE_SIZE] = 1
    assert BLOBS[architecture].on_translation(address, size, pages, ram_size) == expected


def test_ram_is_written_in_one_place() -> None:
    """`view` refuses writes, and nobody else uses the address of RAM in this process.

    `CodePages` changes a byte for Unicorn's eyes only, and drops what it makes of it.
    """
    machine = Machine(MachineConfiguration(MIB))
    with pytest.raises(TypeError, match="read-only"):
        machine.ram.view[0] = 1
    users = set()
    for package in (machine_package, enclave_sim):
        root = Path(next(iter(package.__path__)))
        for path in root.rglob("*.py"):
            text = path.read_text()
            for node in ast.walk(ast.parse(text)) if "host_address" in text else ():
                if isinstance(node, ast.Attribute) and node.attr == "host_address" and "ram" in ast.unparse(node.value):
                    users.add(f"{root.name}/{path.relative_to(root)}")
    known = {f"machine/processor/{name}.py" for name in ("step_hook", "code_pages")}
    known.add("machine/interrupts/known_transitions.py")  # a frame, in a page without code
    assert users == known, "only Unicorn may write there: take `Ram.lend`"
