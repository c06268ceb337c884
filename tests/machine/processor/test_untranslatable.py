"""Code on which Unicorn aborts during translation: LOCK with a bit test of a register (SDM volume 2, LOCK).

A regression ends the test run without a message.
"""

from functools import cache

import pytest

from machine.architecture.exceptions import UD
from machine.bus.bus import Device
from machine.machine import Machine, MachineConfiguration, Outcome
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import GENERAL, End, Mode, Program
from tests.sampling import sampled

DEADLY = [
    "F0 0F A3 F1",
    "F0 0F AB C0",
    "F0 0F B3 FF",
    "F0 0F BB D8",
    "F0 0F BA E8 05",
    "66 F0 0F BA F1 07",
    "F0 66 0F A3 C8",
]
START = 0x1000


@cache
def bench(portable: bool) -> Bench:
    return Bench(portable=portable)


@pytest.mark.parametrize("portable", sampled([False, True], False))
@pytest.mark.parametrize("ring", [0, 3])
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("code", [*DEADLY, "F0 42 0F A3 C8", "90 90 F0 0F A3 F1", "F3 90 F0 0F A3 F1"])
def test_it_is_undefined(code: str, mode: Mode, ring: int, portable: bool) -> None:
    if "42" in code and mode is not Mode.LONG:
        return
    result = bench(portable).run(Program(bytes.fromhex(code), mode, ring))
    skipped, retired = (2, 2) if code.startswith("90") else (2, 1) if code.startswith("F3") else (0, 0)
    assert (result.vector, result.registers["RIP"], result.retired) == (UD, layout.CODE + skipped, retired)


@pytest.mark.parametrize("code", ["0F A3 F1", "F0 0F AB 03", "F0 0F BA 3B 05", "F0 0F C1 03"])
def test_what_is_like_it_is_executed(code: str) -> None:
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RBX": layout.DATA}
    result = bench(False).run(Program(bytes.fromhex(code), registers=tuple(values.values())))
    assert result.end is End.DONE
    assert [change for change in result.memory if change.page == "code"] == []


GOOD = [
    "B0 F0 0F A3 C8",  # MOV AL, F0H; BT EAX, ECX
    "3C F0 0F AB C8",  # CMP AL, F0H; BTS EAX, ECX
    "3C F0 66 0F AB C8",
    "3C F0 0F B3 C8",
    "3C F0 0F BB C8",
    "3C F0 66 0F BA E8 42",  # BTS AX, 42H
    "3C F0 0F BA F0 05",  # BTR EAX, 5
    "3C F0 66 0F BA F8 07",  # BTC AX, 7
    "3C F0 0F BA E0 1F",  # BT EAX, 1FH
]


@pytest.mark.parametrize("portable", sampled([False, True], False))
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("text", GOOD)
def test_what_only_looks_like_lock_does_not_matter(text: str, wide: bool, mode: Mode, portable: bool) -> None:
    """The same bit test after NOP: Unicorn executes that one."""
    code = bytes.fromhex(text)
    if wide and (mode is not Mode.LONG or code[2] == 0x66):
        return
    code = code[:2] + (b"\x48" if wide else b"") + code[2:]
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RAX": 0x1234_8000_3480, "RCX": 0x10}
    results = []
    for between in (b"", b"\x90"):
        program = Program(code[:2] + between + code[2:], mode, registers=tuple(values.values()), rflags=0x202)
        results.append(bench(portable).run(program))
    good, wanted = (
        (result.end, result.registers["RAX"], result.registers["RFLAGS"] & 0x41, result.registers["RIP"] - layout.CODE)
        for result in results
    )
    assert wanted[0] is End.DONE
    assert (*good[:3], good[3] + 1) == wanted


def machine_at(where: int, code: bytes) -> Machine:
    """A machine in protected mode, without an IDT: an exception is a shutdown."""
    machine = Machine(MachineConfiguration(1 << 16))
    machine.ram.write(where, code)
    machine.start(where, {})
    return machine


@pytest.mark.parametrize("cut", range(1, 4))
def test_it_may_lie_in_two_pages(cut: int) -> None:
    code = bytes.fromhex("F00FA3C8F4")
    machine = machine_at(2 * START - cut, code)
    assert (machine.run(), machine.cpu.rip) == (Outcome.SHUTDOWN, 2 * START - cut)


def test_it_may_be_written_where_code_was_executed() -> None:
    machine = machine_at(START, b"\x90\x90\xf4")
    assert machine.run() is Outcome.HALTED
    machine.ram.write(START + 1, bytes.fromhex("F00FA3C8"))
    machine.start(START, {})
    assert (machine.run(), machine.cpu.rip) == (Outcome.SHUTDOWN, START + 1)


def test_it_may_be_written_in_parts() -> None:
    machine = machine_at(START, bytes.fromhex("90 90 0F A3 C8 F4"))
    assert machine.run() is Outcome.HALTED
    machine.ram.write(START + 1, b"\xf0")
    machine.start(START, {})
    assert (machine.run(), machine.cpu.rip) == (Outcome.SHUTDOWN, START + 1)


@pytest.mark.parametrize("portable", sampled([False, True], False))
@pytest.mark.parametrize("mode", Mode)
def test_a_program_sees_its_own_code_as_it_is(mode: Mode, portable: bool) -> None:
    """MOV AL, of the third byte of BTS EAX, EAX with LOCK, which follows."""
    load = b"\x8a\x05" + ((6).to_bytes(4, "little") if mode is Mode.LONG else (layout.CODE + 12).to_bytes(4, "little"))
    code = load + b"\x90" * 4 + bytes.fromhex("F0 0F AB C0")
    result = bench(portable).run(Program(code, mode))
    assert (result.vector, result.registers["RIP"]) == (UD, layout.CODE + 10)
    assert result.registers["RAX"] & 0xFF == 0xAB
    assert [change for change in result.memory if change.page == "code"] == []


@pytest.mark.parametrize("portable", sampled([False, True], False))
@pytest.mark.parametrize(
    "store",
    [
        "C7 05 0A 10 00 00 F0 0F AB C0",  # MOV DWORD [100AH], to what follows
        "BF 0C 10 00 00 90 AB 90 90 90",  # STOSD to 100CH
    ],
)
def test_a_program_may_store_it_into_its_own_page(store: str, portable: bool) -> None:
    machine = Machine(MachineConfiguration(1 << 16, portable=portable))
    machine.ram.write(START, bytes.fromhex(store) + b"\x90" * 8 + b"\xf4")
    machine.start(START, {})
    machine.cpu.write_register("RAX", 0xC0AB0FF0)
    where = START + (10 if store.startswith("C7") else 12)
    assert (machine.run(), machine.cpu.rip) == (Outcome.SHUTDOWN, where)
    assert machine.ram.read(where, 4) == bytes.fromhex("F0 0F AB C0")


@pytest.mark.parametrize("portable", sampled([False, True], False))
def test_a_program_may_store_it_by_a_repeated_instruction_right_after(portable: bool) -> None:
    """MOV EDI, 100CH; MOV ECX, 1; REP STOSD, which leads to what it has stored; it counts twice."""
    machine = Machine(MachineConfiguration(1 << 16, portable=portable))
    machine.ram.write(START, bytes.fromhex("BF 0C 10 00 00 B9 01 00 00 00 F3 AB 90 90 90 90 F4"))
    machine.start(START, {})
    machine.cpu.write_register("RAX", 0xC0AB0FF0)
    assert (machine.run(), machine.cpu.rip, machine.clock.now_ns) == (Outcome.SHUTDOWN, START + 12, 4)


def test_a_program_may_store_it_into_another_page_that_was_executed() -> None:
    """CALL 3000H, which returns; MOV DWORD [3000H], BTS with LOCK; CALL 3000H."""
    code = "E8 FB 1F 00 00 C7 05 00 30 00 00 F0 0F AB C0 E8 EC 1F 00 00"
    machine = machine_at(START, bytes.fromhex(code))
    machine.ram.write(0x3000, b"\x90\x90\x90\x90\xc3")
    machine.cpu.write_register("RSP", 0x8000)
    assert (machine.run(), machine.cpu.rip) == (Outcome.SHUTDOWN, 0x3000)


def test_a_page_is_as_any_other_when_it_is_overwritten() -> None:
    """Page 1000H has the instruction. It is overwritten by the program at 3000H, and then executed."""
    machine = machine_at(0x3000, bytes.fromhex("C7 05 01 10 00 00 90 90 90 40 E9 F1 DF FF FF"))
    machine.ram.write(START, bytes.fromhex("40 F0 0F AB C0 F4"))
    machine.start(START, {})
    machine.cpu.write_register("RAX", 0)
    assert (machine.run(), machine.cpu.rip) == (Outcome.SHUTDOWN, START + 1)


@pytest.mark.parametrize("portable", sampled([False, True], False))
@pytest.mark.parametrize(
    ("change", "rax", "before", "wanted"),
    [
        ("FE 05", 0, 0xEF, (0xF0, 0)),  # INC BYTE
        ("F0 0F C0 05", 0x0F, 0xE1, (0xF0, 0xE1)),  # XADD with LOCK
        ("86 05", 0xF0, 0x90, (0xF0, 0x90)),  # XCHG
        ("F0 0F B0 35", 0x90, 0x90, (0xF0, 0x90)),  # CMPXCHG of DH
    ],
)
def test_an_instruction_that_makes_it_is_executed_once(
    change: str, rax: int, before: int, wanted: tuple[int, int], portable: bool
) -> None:
    """Of BT EAX, ECX in its own page, whose linear address is the physical one."""
    at = START + 0x40
    machine = Machine(MachineConfiguration(1 << 16, portable=portable))
    machine.ram.write(START, bytes.fromhex(change) + at.to_bytes(4, "little") + b"\xf4")
    machine.ram.write(at, bytes([before, 0x0F, 0xA3, 0xC8]))
    machine.start(START, {})
    machine.cpu.write_register("RAX", rax)
    machine.cpu.write_register("RDX", 0xF000)
    assert (machine.run(), machine.clock.now_ns) == (Outcome.HALTED, 2)
    assert (machine.ram.read(at, 1)[0], machine.cpu.read_register("RAX")) == wanted


@pytest.mark.parametrize("credit", [0, 1 << 40])
def test_a_page_may_become_one_while_the_page_after_it_is_one(credit: int) -> None:
    """MOV of EAX to the end of the own page, where Unicorn also sees the page behind; INC EBX."""
    machine = machine_at(2 * START - 0x10, bytes.fromhex("A3 E0 1F 00 00 43").ljust(0x10, b"\x90"))
    machine.cpu.hook.credit = credit
    machine.ram.write(2 * START, b"\xf4" + bytes.fromhex(DEADLY[0]))
    machine.start(2 * START - 0x10, {})
    machine.cpu.write_register("RAX", 0xC0AB0FF0)
    machine.cpu.write_register("RBX", 0)
    assert (machine.run(), machine.cpu.read_register("RBX")) == (Outcome.HALTED, 1)
    assert machine.ram.read(0x1FE0, 4) == bytes.fromhex("F0 0F AB C0")


@pytest.mark.parametrize("credit", [0, 1 << 40])
@pytest.mark.parametrize("between", ["", "EB 00"])
def test_a_device_may_write_it(between: str, credit: int) -> None:
    """OUT to fw_cfg, whose direct memory access overwrites the next instruction."""
    out = bytes.fromhex("BA 18 05 00 00 B8 00 00 30 00 EF" + between)  # of an access described at 3000H
    machine = Machine(MachineConfiguration(1 << 16, files={"opt/x": bytes.fromhex(DEADLY[1])}))
    machine.cpu.hook.credit = credit
    machine.ram.write(START, out + b"\x90\x90\x90\x90\xf4")
    read_first_file = (0x20 << 16 | 8 | 2).to_bytes(4, "big")
    machine.ram.write(0x3000, read_first_file + (4).to_bytes(4, "big") + (START + len(out)).to_bytes(8, "big"))
    machine.start(START, {})
    assert (machine.run(), machine.cpu.rip) == (Outcome.SHUTDOWN, START + len(out))


def test_bytes_after_what_is_stored_stay_when_they_lie_in_a_page_of_data() -> None:
    """MOV DWORD, from a page of code into the next one: BTS EAX, EAX with LOCK lies in both."""
    machine = machine_at(START, bytes.fromhex("C7 05 FD 1F 00 00 F0 0F AB C0 F4"))
    assert machine.run() is Outcome.HALTED
    assert machine.ram.read(0x1FFD, 4) == bytes.fromhex("F0 0F AB C0")
    machine.start(0x1FFD, {})
    assert (machine.run(), machine.cpu.rip) == (Outcome.SHUTDOWN, 0x1FFD)


class Failing(Device):
    """Fails when it is written."""

    def write(self, offset: int, size: int, value: int) -> None:
        raise ValueError(f"{size} bytes at {offset:#x}: {value:#x}")


def test_a_device_that_fails_leaves_the_code_as_it_is() -> None:
    """MOV [FEDF0000H], EAX in a page that is stepped through; then what is right behind it."""
    machine = Machine(MachineConfiguration(1 << 16))
    machine.bus.attach_memory(Failing(), 0xFEDF_0000)
    machine.ram.write(START, bytes.fromhex("A3 00 00 DF FE") + bytes.fromhex(DEADLY[0]))
    machine.start(START, {})
    with pytest.raises(ValueError, match="4 bytes at 0x0"):
        machine.run()
    machine.start(START + 5, {})
    assert (machine.run(), machine.cpu.rip) == (Outcome.SHUTDOWN, START + 5)
