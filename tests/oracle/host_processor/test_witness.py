"""witness.c reports known results of programs, and confines the programs."""

from collections.abc import Iterator

import pytest

from tests.oracle.host_processor.records import (
    CODE_32_SELECTOR,
    CODE_64_SELECTOR,
    DATA_SELECTOR,
    EXECUTE,
    READ,
    REGISTERS,
    WRITE,
    End,
    Region,
    Start,
)
from tests.oracle.host_processor.witness import Witness
from tests.oracle.random_programs.program import fx_fields

CODE, DATA, STACK, ABSENT = 0x1000_0000, 0x2000_0000, 0x3000_0000, 0x2000_2000
SIGTRAP, SIGSEGV, SIGSYS, SIGPROF = 5, 11, 31, 27
DB, BP, GP, PF, AC, XM = 1, 3, 13, 14, 17, 19
FX = (0x37F).to_bytes(24, "little") + (0x1F80).to_bytes(488, "little")


def start(code: str, *, long: bool = True, fx: bytes = FX, rflags: int = 0x202, **registers: int) -> Start:
    data = 0 if long else DATA_SELECTOR
    state = dict.fromkeys(REGISTERS, 0) | {"RSP": STACK + 0x800, "FS_BASE": 0, "GS_BASE": 0, "RFLAGS": rflags}
    state |= {"RIP": CODE, "CS": CODE_64_SELECTOR if long else CODE_32_SELECTOR, "SS": DATA_SELECTOR}
    state |= {"DS": data, "ES": data, "FS": data, "GS": data}
    return Start(state | registers, fx, ((CODE, bytes.fromhex(code) + b"\xcc"),))


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    regions = (
        Region(CODE, b"\xcc" * 4096, READ | EXECUTE),
        Region(DATA, bytes(range(256)) * 32, READ | WRITE),
        Region(STACK, bytes(4096), READ | WRITE),
    )
    with Witness(regions) as running:
        yield running


def run(witness: Witness, one: Start) -> End:
    (end,) = witness.run([one])
    assert not end.killed
    return end


def test_a_program_ends_with_its_registers_and_flags(witness: Witness) -> None:
    end = run(witness, start("01d8", RAX=1 << 31, RBX=1 << 31, R15=7))  # add eax, ebx
    assert (end.signal, end.vector, end.registers["RIP"]) == (SIGTRAP, BP, CODE + 3)
    assert (end.registers["RAX"], end.registers["R15"]) == (0, 7)
    assert end.registers["RFLAGS"] == 0x202 | 1 << 0 | 1 << 2 | 1 << 6 | 1 << 11  # CF PF ZF OF


def test_memory_is_reported_where_it_changed(witness: Witness) -> None:
    end = run(witness, start("8803", RBX=DATA + 0x1FFF, RAX=0x55))  # mov [rbx], al
    assert end.memory == ((DATA + 0x1FF8, bytes([0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0x55])),)
    assert run(witness, start("90")).memory == ()  # and the next program finds nothing of it


def test_a_page_fault_has_its_address_and_error_code(witness: Witness) -> None:
    end = run(witness, start("8903", RBX=ABSENT + 5))  # mov [rbx], eax
    assert (end.signal, end.vector, end.error_code, end.cr2) == (SIGSEGV, PF, 6, ABSENT + 5)
    assert end.registers["RIP"] == CODE
    assert run(witness, start("8903", RBX=CODE)).error_code == 7


@pytest.mark.parametrize("code", ["0f05", "cd80"])  # SYSCALL, INT 80H
def test_no_system_call_is_made(witness: Witness, code: str) -> None:
    end = run(witness, start(code, RAX=60 if code == "0f05" else 1, RDI=3, RBX=3))  # exit
    assert (end.signal, end.registers["RIP"]) == (SIGSYS, CODE + 2)


def test_a_program_that_does_not_end_is_stopped(witness: Witness) -> None:
    assert run(witness, start("ebfe")).signal == SIGPROF  # jmp $


def test_a_program_without_any_stack_is_reported(witness: Witness) -> None:
    assert run(witness, start("50", RSP=0)).vector == PF  # push rax


def test_compatibility_mode(witness: Witness) -> None:
    end = run(witness, start("4050", long=False, RAX=0xFFFF_FFFF))  # inc eax, push eax
    assert (end.registers["CS"], end.registers["RAX"], end.registers["RSP"]) == (CODE_32_SELECTOR, 0, STACK + 0x7FC)
    assert run(witness, start("37", RAX=0x0F)).vector == 6  # AAA: not in 64-bit mode
    assert run(witness, start("37", long=False, RAX=0x0F)).registers["RAX"] == 0x105


def test_the_start_state_is_loaded_completely(witness: Witness) -> None:
    fx = bytearray(FX)
    fx[4] = 0x80  # the register that becomes ST0 when TOP is 7
    fx[2:4] = (7 << 11).to_bytes(2, "little")
    fx[32:42] = bytes.fromhex("00000000000000c00040")
    fx[160 + 15 * 16 : 160 + 16 * 16] = bytes(range(16))
    end = run(witness, start("90", fx=bytes(fx), rflags=0x40202 | 1 << 10, FS_BASE=DATA, GS_BASE=DATA + 8))
    named = fx_fields(end.fx)
    assert (named["FTW"], named["ST0"]) == (0x80, 0x4000_C000_0000_0000_0000)
    assert named["XMM15"] == int.from_bytes(bytes(range(16)), "little")
    assert (end.registers["FS_BASE"], end.registers["GS_BASE"]) == (DATA, DATA + 8)
    assert end.registers["RFLAGS"] == 0x40202 | 1 << 10
    read = run(witness, start("65488b042508000000", GS_BASE=DATA))  # mov rax, gs:[8]
    assert read.registers["RAX"] == int.from_bytes(bytes(range(8, 16)), "little")


def test_single_steps_alignment_checks_and_simd_exceptions(witness: Witness) -> None:
    end = run(witness, start("9090", rflags=0x302))
    assert (end.vector, end.registers["RIP"]) == (DB, CODE + 1)
    assert run(witness, start("8b03", rflags=0x40202, RBX=DATA + 1)).vector == AC  # mov eax, [rbx]
    unmasked = FX[:24] + (0x1F80 & ~(1 << 9)).to_bytes(4, "little") + FX[28:]
    assert run(witness, start("f30f5ec1", fx=unmasked[:160] + b"\0\0\x80\x3f" + unmasked[164:])).vector == XM  # divss


def test_programs_of_a_batch_do_not_know_each_other(witness: Witness) -> None:
    programs = [start("0103", RBX=DATA + 4 * n, RAX=n) for n in range(300)]  # add [rbx], eax
    ends = list(witness.run(programs))
    assert [end.registers["RAX"] for end in ends] == list(range(300))
    assert ends[0].memory == ()
    assert all(len(end.memory) == 1 for end in ends[1:])
